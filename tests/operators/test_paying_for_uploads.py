# SPDX-License-Identifier: Apache-2.0
"""Paying once through uploads: one payment for one content, whatever links it gets."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectionLostError,
    EvoLinkError,
    RateLimitedError,
    ServerError,
    StaleRequestError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.media.known_links import KnownLinks
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from tests.operators.submissions import DyingStore, WorkerDied, accepted
from tests.task_harness import TaskHarness
from tests.uploading import LINKS_ONLY, forget_links, uploads, write_picture

pytestmark = pytest.mark.usefixtures("each_ledger", "no_submission_pauses", "no_pauses")
KEY = "airflow-0123456789abcdef"


@pytest.fixture(autouse=True)
def _new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_links(monkeypatch)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A local picture."""
    return Path(write_picture(tmp_path / "a.png"))


def operator(*pictures: Path, **kwargs: Any) -> EvoLinkGenerateOperator:
    """Return a task whose pictures have to be uploaded."""
    parameters = {"prompt": "It moves", "duration": 3, "image_urls": [str(picture) for picture in pictures]}
    return EvoLinkGenerateOperator(
        task_id="task", model=LINKS_ONLY, parameters=parameters, **{"poll_interval": 1, **kwargs}
    )


def failure_of(attempt: Any, task: EvoLinkGenerateOperator) -> EvoLinkError:
    """Return the error that an attempt ends with."""
    with pytest.raises((EvoLinkError, EvoLinkFailException)) as caught:
        attempt(task)
    error = caught.value
    return error.error if isinstance(error, EvoLinkFailException) else error


def test_pictures_are_uploaded_and_their_links_sent(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path
) -> None:
    """The request has the links of the uploads; a content that occurs twice is uploaded once."""
    record = harness.run(operator(picture, picture))

    [generation] = accepted(emulator)
    [upload] = uploads(emulator)
    assert record["generation_id"] == generation["id"]
    assert upload["file_size"] == picture.stat().st_size
    assert str(picture) not in str(harness.store.held)


@pytest.mark.parametrize("dies", [False, True])
def test_a_replay_sends_the_same_link(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path, dies: bool
) -> None:
    """After lost responses a later try sends the same body, even if the link has died meanwhile, and pays once."""
    emulator.control.inject("lost_response", on="submit", times=2)
    assert isinstance(failure_of(harness.run, operator(picture)), SubmissionUnknownError)
    [upload] = uploads(emulator)
    emulator.control.set_upload_ttl(0 if dies else None)

    record = harness.retry(operator(picture))

    assert record["replay"] == "confirmed"
    [generation] = accepted(emulator)
    assert generation["id"] == record["generation_id"]
    assert emulator.control.state()["requests"]["upload"] == 1
    assert harness.store.writes[0]["media_links"][f"sha256:{_sha256(picture)}"].endswith(upload["file_url"])


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_worker_that_dies_around_any_write_pays_once(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path, write: int, after: bool
) -> None:
    """Between upload, intent, id and end: the next try returns the result of one generation."""
    harness.store = DyingStore(write, after=after)
    with pytest.raises(WorkerDied):
        harness.run(operator(picture))

    record = harness.retry(operator(picture))

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]
    assert len(uploads(emulator)) == (2 if (write, after) == (1, False) else 1)


def test_a_new_submission_takes_a_new_link(emulator: EmulatorHandle, harness: TaskHarness, picture: Path) -> None:
    """A retry after a failed generation uploads again, and so does not send a link that may have died."""
    emulator.control.inject("generation_failed", on="submit", code="service_error")
    failure_of(harness.run, operator(picture))
    emulator.control.set_upload_ttl(0)
    emulator.control.set_upload_ttl(None)

    harness.retry(operator(picture))

    first, second = accepted(emulator)
    assert first["request_digest"] != second["request_digest"]
    assert emulator.control.state()["requests"]["upload"] == 2


def test_the_same_content_under_another_name_is_the_same_request(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path
) -> None:
    """A file that has moved is resumed, not paid for again."""
    first = harness.run(operator(picture))
    moved = picture.rename(picture.with_name("b.png"))

    assert harness.retry(operator(moved))["generation_id"] == first["generation_id"]
    assert (len(accepted(emulator)), len(uploads(emulator))) == (1, 1)


def test_another_content_under_the_same_name_is_a_changed_request(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path
) -> None:
    """A file that was replaced between two tries is refused, or paid for with the author's consent."""
    harness.run(operator(picture))
    write_picture(picture, version=1)

    assert isinstance(failure_of(harness.retry, operator(picture)), StaleRequestError)
    assert (len(accepted(emulator)), len(uploads(emulator))) == (1, 1)
    harness.retry(operator(picture, on_changed_input="resubmit"))
    assert (len(accepted(emulator)), len(uploads(emulator))) == (2, 2)


@pytest.mark.parametrize(
    ("fault", "options", "error_class", "part"),
    [
        ("server_error", {"status": 503}, ServerError, "later retry"),
        ("connection_reset", {}, ConnectionLostError, "retry sends the request again"),
        ("rate_limit", {}, RateLimitedError, "after a pause"),
        ("http_error", {"status": 401}, AuthenticationError, "valid API key"),
        ("http_error", {"status": 413}, BadRequestError, "95 MB"),
        ("unexpected_json", {"body": {"success": False, "code": 40003, "msg": "Full"}}, BadRequestError, "delete"),
    ],
)
def test_an_upload_that_fails_costs_nothing(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    picture: Path,
    fault: str,
    options: dict[str, Any],
    error_class: type[EvoLinkError],
    part: str,
) -> None:
    """Nothing is submitted or recorded; the error names parameter and file, and a retry or a clear goes on."""
    emulator.control.inject(fault, on="upload", times=4, **options)

    error = failure_of(harness.run, operator(picture))

    assert type(error) is error_class
    for text in ("`image_urls[0]`", picture.name, "nothing was charged", part):
        assert text in str(error)
    assert harness.record is None
    state = emulator.control.state()
    assert (state["generations"], state["requests"]["submit"]) == ([], 0)
    assert state["requests"]["upload"] == (1 if error.permanent else 4)
    emulator.control.reset()
    assert harness.retry(operator(picture))["status"] == "completed"


def test_an_upload_that_fails_is_about_nothing_that_was_paid_for(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path
) -> None:
    """The error of a resubmission's upload says that nothing was charged, and names no earlier generation."""
    options = {"wait_for_completion": False, "on_changed_input": "resubmit"}
    harness.run(operator(picture, **options))
    write_picture(picture, version=1)
    emulator.control.inject("server_error", on="upload", times=4, status=503)

    error = failure_of(harness.retry, operator(picture, **options))

    assert (error.charged, error.generation_id, error.credits_reserved) == (False, None, None)
    assert (error.model, error.conn_id) == (LINKS_ONLY, "evolink_default")


def test_an_upload_that_fails_leaves_what_is_paid_for(
    emulator: EmulatorHandle, harness: TaskHarness, picture: Path
) -> None:
    """If a resubmission's upload fails, the earlier result is still there."""
    first = harness.run(operator(picture, on_clear="resubmit"))
    emulator.control.inject("http_error", on="upload", status=413)
    assert isinstance(failure_of(harness.clear, operator(picture, on_clear="resubmit")), BadRequestError)

    assert harness.retry(operator(picture))["generation_id"] == first["generation_id"]
    assert len(accepted(emulator)) == 1


def test_a_deleted_file_is_uploaded_again(
    emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch, picture: Path
) -> None:
    """The link of a file that this process has deleted is not sent again."""
    known = KnownLinks()
    for module in ("uploader", "known_links"):
        monkeypatch.setattr(f"airflow_provider_evolink.media.{module}.known_links", lambda _: known)
    hook = EvoLinkHook()
    request = hook.prepare(LINKS_ONLY, {"prompt": "It moves", "duration": 3, "image_urls": [str(picture)]})
    first = hook.media_links(request)
    assert hook.media_links(request) == first

    [stored] = hook.list_files()
    assert hook.delete_file(stored.file_id)

    assert hook.media_links(request) != first
    assert len(uploads(emulator)) == 1


def test_the_hook_uploads_what_it_submits(emulator: EmulatorHandle, picture: Path) -> None:
    """A request of one's own is submitted with the links of its media, which can be obtained before, too."""
    hook = EvoLinkHook()
    request = hook.prepare(LINKS_ONLY, {"prompt": "It moves", "duration": 3, "image_urls": [str(picture)]})
    assert str(picture).encode() not in request.body

    links = hook.media_links(request)
    submission = hook.submit(request, KEY)

    assert len(uploads(emulator)) == 2
    assert request.with_links(links).count(next(iter(links.values())).encode()) == 1
    assert [generation["id"] for generation in accepted(emulator)] == [submission.generation.id]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
