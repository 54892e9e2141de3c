# SPDX-License-Identifier: Apache-2.0
"""``EvoLinkHook.generate`` and ``@task.evolink`` pay as operators do: uploads, credits, metrics, error attributes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import (
    CreditsBelowMinimumError,
    EvoLinkError,
    GenerationFailedError,
    ServerError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.decorators.evolink import evolink_task
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.execution import credits_check, metrics
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.submission.measures import Measure
from tests.hooks.calls import PythonTask
from tests.operators.submissions import accepted
from tests.task_harness import TaskHarness
from tests.uploading import LINKS_ONLY, forget_links, write_picture

pytestmark = pytest.mark.usefixtures("each_ledger", "no_pauses", "quick")


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_links(monkeypatch)
    credits_check._readings.clear()
    for module in ("send_outcome", "submitter"):
        monkeypatch.setattr(f"airflow_provider_evolink.submission.{module}.PAUSE_SECONDS", 0.0)


@pytest.fixture
def picture(tmp_path: Path) -> str:
    """A local picture."""
    return write_picture(tmp_path / "a.png")


Attempt = Callable[..., Any]


@pytest.fixture(params=["hook", "decorator"])
def tries(request: pytest.FixtureRequest, picture: str) -> tuple[Attempt, Attempt]:
    """The first try of a task that makes a video of the picture, and the next one."""
    parameters = {"prompt": "It moves", "duration": 3, "image_urls": [picture]}
    if request.param == "hook":
        task = PythonTask()

        def call(attempt: Callable[[Callable[[], Any]], Any], **options: Any) -> Any:
            hook = EvoLinkHook()
            return attempt(lambda: hook.generate(LINKS_ONLY, parameters, key="cover", poll_interval=1, **options))

        return lambda **options: call(task.call, **options), lambda **options: call(task.call_again, **options)

    harness = TaskHarness()

    def operator(**options: Any) -> Any:
        decorate = evolink_task(model=LINKS_ONLY, poll_interval=1, task_id="task", **options)
        return decorate(lambda: parameters)().operator  # type: ignore[attr-defined]

    return lambda **options: harness.run(operator(**options)), lambda **options: harness.retry(operator(**options))


def uploads(emulator: EmulatorHandle) -> int:
    """Return how many uploads were attempted."""
    return int(emulator.control.state()["requests"]["upload"])


def test_a_replay_sends_the_same_link(emulator: EmulatorHandle, tries: tuple[Attempt, Attempt]) -> None:
    """After lost responses the next try sends the same body, although the link has died, and pays once."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError) as caught:
        tries[0]()
    assert (caught.value.charged, caught.value.model) == (None, LINKS_ONLY)
    emulator.control.set_upload_ttl(0)

    record = tries[1]()

    assert record["replay"] == "confirmed"
    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]
    assert uploads(emulator) == 1


def test_an_upload_that_fails_costs_nothing(emulator: EmulatorHandle, tries: tuple[Attempt, Attempt]) -> None:
    """Nothing is submitted, the error has charged nothing, and the next try uploads and submits."""
    emulator.control.inject("server_error", on="upload", times=4, status=503)
    with pytest.raises(ServerError) as caught:
        tries[0]()
    assert (caught.value.charged, caught.value.generation_id, accepted(emulator)) == (False, None, [])

    assert tries[1]()["status"] == "completed"


def test_credits_are_kept(emulator: EmulatorHandle, tries: tuple[Attempt, Attempt]) -> None:
    """With too few credits nothing is uploaded or sent; what was paid for is resumed without reading them."""
    with pytest.raises(CreditsBelowMinimumError) as caught:
        tries[0](min_credits_left=1e9)
    assert (caught.value.charged, uploads(emulator), accepted(emulator)) == (False, 0, [])
    record = tries[1](min_credits_left=1)
    reads = emulator.control.state()["requests"]["credits"]
    credits_check._readings.clear()

    assert tries[1](min_credits_left=1e9)["generation_id"] == record["generation_id"]
    assert emulator.control.state()["requests"]["credits"] == reads


def test_a_replay_reads_no_credits(emulator: EmulatorHandle, tries: tuple[Attempt, Attempt]) -> None:
    """What may be paid for already is sent again whatever is left."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        tries[0](min_credits_left=1)
    credits_check._readings.clear()

    assert tries[1](min_credits_left=1e9)["replay"] == "confirmed"


def test_each_fact_is_counted_once(
    emulator: EmulatorHandle, tries: tuple[Attempt, Attempt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed generation, its successor, and a try that finds it done."""
    found: Counter[str] = Counter()
    monkeypatch.setattr(metrics, "_are_on", lambda: True)

    def send(each: Measure) -> None:
        found[each.name.split(".")[1]] += each.value  # type: ignore[assignment]

    monkeypatch.setattr(metrics, "_send", send)
    emulator.control.inject("generation_failed", on="submit", code="service_error")
    with pytest.raises(GenerationFailedError) as caught:
        tries[0]()
    assert (caught.value.charged, caught.value.code) == (False, "service_error")
    assert caught.value.credits_reserved is not None
    for _ in range(2):
        record = tries[1]()

    assert (found["submissions"], found["failures"], found["completions"]) == (2, 1, 1)
    assert found["credits_used"] == pytest.approx(record["usage"]["credits_used"])


def test_a_picture_that_has_changed_is_not_paid_for(
    emulator: EmulatorHandle, tries: tuple[Attempt, Attempt], picture: str
) -> None:
    """The next try with another picture of the same name is refused, and the old one is still resumed."""
    first = tries[0]()
    content = Path(picture).read_bytes()
    write_picture(Path(picture), version=1)
    with pytest.raises(Exception, match="has changed since it was submitted"):
        tries[1]()
    assert uploads(emulator) == len(accepted(emulator)) == 1
    Path(picture).write_bytes(content)

    assert tries[1]()["generation_id"] == first["generation_id"]


def test_an_id_that_could_not_be_recorded_is_in_the_errors(
    emulator: EmulatorHandle, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the ledger fails after the payment, the error of the wait has what it cost."""
    emulator.control.set_speed(0.1)
    monkeypatch.setenv("AIRFLOW__EVOLINK__UNREACHABLE_TIMEOUT", "1")
    task = PythonTask()
    writes = 0
    write = task.store.set

    def fail_after_the_intent(*args: Any, **kwargs: Any) -> None:
        nonlocal writes
        writes += 1
        if writes > 1:
            raise RuntimeError("the API server is down")
        write(*args, **kwargs)

    task.store.set = fail_after_the_intent  # type: ignore[method-assign]
    emulator.control.inject("server_error", on="read", times=None, status=503)
    with pytest.raises(EvoLinkError) as caught:
        task.call(
            lambda: EvoLinkHook().generate(
                LINKS_ONLY, {"prompt": "x", "duration": 3, "image_urls": [picture]}, key="cover", timeout=1
            )
        )

    [generation] = accepted(emulator)
    assert caught.value.generation_id == generation["id"]
    assert caught.value.credits_reserved is not None
