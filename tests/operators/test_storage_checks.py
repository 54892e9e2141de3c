# SPDX-License-Identifier: Apache-2.0
"""An object storage that can't be used is found out before the payment, and never stops what is paid for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import DAG

from airflow_provider_evolink.api.errors import LandingError
from airflow_provider_evolink.decorators.evolink import evolink_task
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.landing import storage_check
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator
from testkit.environment import free_port
from tests.object_stores import LISTING, ObjectStore
from tests.operators.landings import LandingHarness, sent
from tests.operators.submissions import TEXT, DyingStore, WorkerDied, accepted, operator

PNG = Path(__file__).parent.parent / "data" / "frame.png"
# What is wrong with a storage, and how the error names that.
REFUSED = {"credentials": "no access to bucket 'videos' with", "bucket": "bucket 'not-there' not found with"}


@pytest.fixture
def harness() -> LandingHarness:
    """A task instance without an attempt yet."""
    return LandingHarness()


@pytest.fixture
def gateway(object_store: ObjectStore) -> Iterator[Any]:
    """A reverse proxy in front of the storage that can refuse requests."""
    with object_store.gateway() as gateway:
        yield gateway


only_s3 = pytest.mark.parametrize("object_store", ["s3"], indirect=True)


def text_task(destination: str) -> Any:
    """Return the operator for any model."""
    return operator(destination=destination)


def image_task(destination: str) -> Any:
    """Return the operator that makes a video from an image, which is uploaded after the check."""
    return EvoLinkImageToVideoOperator(
        task_id="task", prompt="x", image=str(PNG), duration=3, poll_interval=1, destination=destination
    )


def decorated_task(destination: str) -> Any:
    """Return the operator of a decorated function."""
    decorate = evolink_task(model=TEXT, poll_interval=1, task_id="task", destination=destination)
    return decorate(lambda: {"prompt": "A lighthouse", "duration": 3})().operator  # type: ignore[attr-defined]


def mapped_task(destination: str) -> Any:
    """Return an instance of a mapped task."""
    arguments = {"parameters": {"prompt": "x", "duration": 3}, "destination": destination}
    with DAG("mapped", schedule=None):
        mapped = EvoLinkGenerateOperator.partial(task_id="task", model=TEXT).expand_kwargs([arguments])
    return mapped.unmap(arguments)


@pytest.mark.parametrize("mistake", REFUSED)
@pytest.mark.parametrize("make", [text_task, image_task, decorated_task, mapped_task])
def test_what_certainly_cannot_work_is_refused(
    emulator: EmulatorHandle,
    harness: LandingHarness,
    object_store: ObjectStore,
    mistake: str,
    make: Callable[[str], Any],
) -> None:
    """A missing bucket or bad credentials end the task before anything is sent or recorded, whoever would pay."""
    options: dict[str, Any] = {"credentials": {"wrong": True}, "bucket": {"bucket": "not-there"}}[mistake]
    destination = object_store.destination("checks", f"check_{mistake}", **options)

    with pytest.raises(EvoLinkFailException) as caught:
        harness.run(make(destination))

    text = str(caught.value)
    assert text.startswith(f"Nothing can land at {object_store.scheme}://")
    assert f"{REFUSED[mistake]} connection '{object_store.name}_check_{mistake}'" in text
    assert "Nothing was sent to EvoLink now: this attempt cost nothing. A retry is refused again: fix that" in text
    assert sent(emulator, "total") == (0,)
    assert harness.store.held == {}


def assert_asked_again(emulator: EmulatorHandle, harness: LandingHarness, task: Any, reason: str) -> None:
    """Check that a task fails before it pays, and that a retry may help."""
    with pytest.raises(LandingError, match=reason) as caught:
        harness.run(task)
    assert not caught.value.permanent
    assert caught.value.charged is False
    assert str(caught.value).endswith("this attempt cost nothing. A retry tries again.")
    assert sent(emulator, "total") == (0,)


def test_an_unreachable_storage(emulator: EmulatorHandle, harness: LandingHarness, object_store: ObjectStore) -> None:
    """A storage that can't be reached is worth a retry, and costs nothing until then."""
    url = f"http://127.0.0.1:{free_port()}"
    task = operator(destination=object_store.destination("checks", "closed", url=url))
    assert_asked_again(emulator, harness, task, r"at the moment: \w+Error: .*[Cc]onnect")


def test_a_storage_that_hangs(
    emulator: EmulatorHandle,
    harness: LandingHarness,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check waits for a limited time."""
    monkeypatch.setattr(storage_check, "TIMEOUT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        task = operator(destination=object_store.destination("checks", "hangs", url=url))
        assert_asked_again(emulator, harness, task, "at the moment: TimeoutError: no response within 1 s")


@pytest.mark.parametrize("refusal", [(500, "InternalError"), (503, "ServiceUnavailable"), (400, "ExpiredToken")])
def test_a_storage_that_fails_for_now(
    emulator: EmulatorHandle,
    harness: LandingHarness,
    object_store: ObjectStore,
    gateway: Any,
    refusal: tuple[int, str],
) -> None:
    """A retry pays once the storage works again."""
    gateway.refused, gateway.refusal = LISTING[object_store.name], refusal
    conn_id = f"fails_{refusal[1].lower()}"
    task = operator(destination=object_store.destination("checks", conn_id, url=gateway.url))
    assert_asked_again(emulator, harness, task, "at the moment: (OSError|PermissionError|HttpResponseError|HttpError)")

    gateway.refused = ("none", "none")
    assert len(harness.retry(task)["landed"]) == 1
    assert sent(emulator, "submit") == (1,)


def test_who_may_not_list_may_land(
    emulator: EmulatorHandle, harness: LandingHarness, object_store: ObjectStore, gateway: Any
) -> None:
    """A policy that allows only writes passes without a word."""
    gateway.refused = LISTING[object_store.name]
    task = operator(destination=object_store.destination("checks", "put_only", url=gateway.url))

    assert len(harness.run(task)["landed"]) == 1


@only_s3
def test_a_resume_does_not_ask(
    emulator: EmulatorHandle, harness: LandingHarness, object_store: ObjectStore, gateway: Any
) -> None:
    """What is paid for is waited for although the storage fails now; the task pays once."""
    task = operator(destination=object_store.destination("checks", "resumes", url=gateway.url))
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    gateway.refused, gateway.refusal = LISTING[object_store.name], (403, "InvalidAccessKeyId")

    harness.ti.try_number += 1
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)

    assert sent(emulator, "submit") == (1,)


@only_s3
def test_a_replay_does_not_ask(
    emulator: EmulatorHandle, harness: LandingHarness, object_store: ObjectStore, gateway: Any
) -> None:
    """A submission whose response was lost is resolved although the storage fails now."""
    task = operator(destination=object_store.destination("checks", "replays", url=gateway.url))
    harness.store = DyingStore(2, after=False)
    with pytest.raises(WorkerDied):
        task.execute(harness.context)
    gateway.refused, gateway.refusal = LISTING[object_store.name], (403, "InvalidAccessKeyId")

    harness.ti.try_number += 1
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)

    assert len(accepted(emulator)) == 1
