# SPDX-License-Identifier: Apache-2.0
"""No error about a storage states anything twice, whatever fails and whoever reports it."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import EvoLinkError, LandingError
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.batch.landing import _not_tried
from airflow_provider_evolink.batch.outcome_report import manifest_not_written, nothing_can_land
from airflow_provider_evolink.execution.reports import cannot_land_now, name_unlanded_generation
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.filenames import Result
from airflow_provider_evolink.landing.lander import Lander
from airflow_provider_evolink.landing.storage_errors import check_error, list_error, write_error
from airflow_provider_evolink.landing.storage_target import StorageTarget, check_destination, storage_target
from tests.landing.test_storage_errors import AZURE, S3, XML, AzureError, GoogleError, aws, wrapped

ID = "task-unified-1"
LOCAL = StorageTarget(None, "/videos/a/0.mp4", "file")
WRITES: dict[str, tuple[StorageTarget, Exception]] = {
    "no bucket": (S3, aws("NoSuchBucket", 404, "The specified bucket does not exist.")),
    "denied": (S3, aws("AccessDenied", 403, "Access Denied.")),
    "expired token": (S3, aws("ExpiredToken", 400)),
    "unavailable": (S3, aws("SlowDown", 503, "Reduce your request rate.")),
    "no container": (AZURE, wrapped(AzureError(XML, 404))),
    "no access to Azure": (AZURE, wrapped(AzureError("No access.", 403))),
    "no access to Google": (StorageTarget(None, "b/0.mp4", "gs"), GoogleError("Invalid Credentials", 401)),
    "full": (LOCAL, OSError(errno.ENOSPC, "No space left on device")),
    "read-only": (LOCAL, OSError(errno.EROFS, "Read-only file system", "/videos/a/0.mp4")),
}


def no_folder() -> LandingError:
    """A local folder that can't be made."""
    with pytest.raises(LandingError) as caught:
        storage.check_writable(StorageTarget(None, f"{__file__}/x", "file"))
    return caught.value


def no_bucket() -> LandingError:
    """A bucket that is missing before the payment."""
    error = check_error(S3, aws("NoSuchBucket", 404, "The specified bucket does not exist."))
    assert error is not None
    return error


def no_connection() -> LandingError:
    """A connection that Airflow does not have."""
    with pytest.raises(LandingError) as caught:
        check_destination("s3://nobody@videos/a")
    return caught.value


def wrong_connection(monkeypatch: pytest.MonkeyPatch) -> LandingError:
    """A connection of another type, for which Airflow's warning is an error in tests."""
    monkeypatch.setenv("AIRFLOW_CONN_WEB", '{"conn_type": "http", "host": "x"}')
    with pytest.raises(LandingError) as caught:
        storage_target("s3://web@videos/a")
    return caught.value


def landed(error: LandingError) -> LandingError:
    """The error of a result whose landing fails with another."""
    failing: Any = Lander.__new__(Lander)
    memory: Any = type("Memory", (), {"get": staticmethod(lambda _: (_ for _ in ()).throw(error))})
    object.__setattr__(failing, "destination", LOCAL)
    object.__setattr__(failing, "checkpoint", memory)
    with pytest.raises(LandingError) as caught:
        failing.land(Result(ID, 0, "https://example.com/a.mp4", "gpt-image-2"))
    return caught.value


def unlanded(error: LandingError) -> LandingError:
    """The error of a task that has paid for what it can't land."""
    name_unlanded_generation(error, ID)
    return error


REPORTS: dict[str, Callable[[LandingError], EvoLinkError]] = {
    "as it is": lambda error: error,
    "of a result": landed,
    "of a task after the payment": unlanded,
    "of a result, by its task": lambda error: unlanded(landed(error)),
    "before the payment": lambda error: cannot_land_now(error, None, conn_id="evolink_default"),
    "of a batch before the payment": lambda error: nothing_can_land(error, 2),
    "of a manifest": lambda error: manifest_not_written(error, "2 of 2 rows have landed"),
    "of a manifest of rows not sent": lambda error: manifest_not_written(error, "0 of 2 rows have landed", unsent=2),
    "of another row": lambda error: _not_tried(Generation("task-unified-2", "completed"), landed(error)),
}


@pytest.fixture(params=[*WRITES, "listing", "no bucket to pay for", "no folder", "no connection", "wrong connection"])
def error(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> LandingError:
    """What a storage fails with."""
    if request.param in WRITES:
        return write_error(*WRITES[request.param])
    others: dict[str, Callable[[], LandingError]] = {
        "listing": lambda: list_error(S3, aws("AccessDenied", 403, "Access Denied.")),
        "no bucket to pay for": no_bucket,
        "no folder": no_folder,
        "no connection": no_connection,
        "wrong connection": lambda: wrong_connection(monkeypatch),
    }
    return others[request.param]()


def repeated(text: str) -> Iterator[str]:
    """Yield what a text has twice: sentences, and runs of six words."""
    sentences = [part.strip() for part in re.split(r"[.;]\s", text) if part.strip()]
    words = text.split()
    runs = [" ".join(words[start : start + 6]) for start in range(len(words) - 5)]
    for parts in (sentences, runs):
        yield from {part for part in parts if parts.count(part) > 1}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_nothing_is_stated_twice(error: LandingError, report: Callable[[LandingError], EvoLinkError]) -> None:
    """Whoever reports a storage's error, no sentence and no run of six words occurs twice, and the advice is one."""
    text = str(report(error))
    assert list(repeated(text)) == []
    assert len(re.findall(r"\b(?:A retry|A clear|and a retry)\b", text)) <= 2, text
    assert "retry" in text or "clear" in text, text


def test_repetitions_are_found() -> None:
    """The check itself finds a repetition."""
    assert list(repeated("It failed. No space left on device. It failed. Retry."))
