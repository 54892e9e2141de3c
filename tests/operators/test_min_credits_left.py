# SPDX-License-Identifier: Apache-2.0
"""``min_credits_left``: nothing new is submitted once fewer credits are left, and one free read finds out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import AuthenticationError, CreditsBelowMinimumError, CreditsUnknownError
from airflow_provider_evolink.api.generation import Credits
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.execution import credits_check
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from tests.operators.submissions import accepted, operator
from tests.task_harness import TaskHarness

pytestmark = pytest.mark.usefixtures("no_pauses", "no_submission_pauses")


@pytest.fixture(autouse=True)
def nothing_read_yet() -> Iterator[None]:
    """Forget what earlier tests have read."""
    credits_check._readings.clear()
    yield
    credits_check._readings.clear()


def left(emulator: EmulatorHandle) -> float:
    """Return the credits that are left."""
    return float(emulator.control.state()["credits"]["balance"])


def reads(emulator: EmulatorHandle) -> int:
    """Return how often the credits were read."""
    return int(emulator.control.state()["requests"]["credits"])


def test_fewer_credits_refuse_a_submission(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Nothing is sent, the error has both figures, and a retry submits once credits were added."""
    balance = left(emulator)
    with pytest.raises(CreditsBelowMinimumError, match=f"={balance + 5:.10g}, but {balance:.10g} credits") as caught:
        harness.run(operator(min_credits_left=balance + 5))
    assert accepted(emulator) == []
    assert (caught.value.charged, caught.value.retryable) == (False, True)
    assert (caught.value.remaining, caught.value.minimum) == (balance, balance + 5)
    assert harness.record is None

    emulator.control.add_credits(5)
    credits_check._readings.clear()

    assert harness.retry(operator(min_credits_left=balance + 5))["status"] == "completed"


def test_a_read_is_shared_and_kept_true(emulator: EmulatorHandle) -> None:
    """Tasks of one process share a reading for ten seconds, less what they have had reserved."""
    balance = left(emulator)
    first = TaskHarness().run(operator(min_credits_left=balance))
    with pytest.raises(CreditsBelowMinimumError) as caught:
        TaskHarness().run(operator(min_credits_left=balance))

    assert caught.value.remaining == pytest.approx(balance - first["usage"]["credits_reserved"])
    assert reads(emulator) == 1
    [reading] = credits_check._readings.values()
    assert reading.read_at is not None
    reading.read_at -= credits_check.SHARED_SECONDS
    emulator.control.add_credits(balance)
    assert TaskHarness().run(operator("Another", min_credits_left=balance))["status"] == "completed"
    assert reads(emulator) == 2


def test_what_is_paid_for_waits_for_no_reading(emulator: EmulatorHandle) -> None:
    """While another task reads the credits, which may take a minute, an accepted submission is recorded at once."""
    TaskHarness().run(operator(min_credits_left=1))
    [reading] = credits_check._readings.values()
    before, harness = reading.reserved_since, TaskHarness()
    paying = threading.Thread(target=lambda: harness.run(operator("Another")), daemon=True)
    with reading.read_lock:
        paying.start()
        paying.join(10)
        is_recorded = harness.record is not None and harness.record["phase"] == "finished"

    paying.join()
    assert is_recorded
    assert reading.reserved_since > before


def test_what_is_paid_for_needs_no_credits(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A replay and a resumption read nothing and are not refused: they cost nothing new."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(Exception, match="On a retry or a clear"):
        harness.run(operator(min_credits_left=1))
    before = reads(emulator)
    emulator.control.add_credits(-left(emulator))
    credits_check._readings.clear()

    record = harness.retry(operator(min_credits_left=1e9))

    assert record["status"] == "completed"
    assert harness.clear(operator(min_credits_left=1e9))["generation_id"] == record["generation_id"]
    assert (len(accepted(emulator)), reads(emulator)) == (1, before)


def test_a_failed_read_is_retried(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """If the credits can't be read, nothing is sent, and a retry reads them again."""
    emulator.control.inject("server_error", on="credits", times=4, status=503)
    with pytest.raises(CreditsUnknownError, match=r"503.*nothing was charged") as caught:
        harness.run(operator(min_credits_left=1))
    assert (caught.value.charged, caught.value.retryable, accepted(emulator)) == (False, True, [])

    assert harness.retry(operator(min_credits_left=1))["status"] == "completed"


def test_a_refused_read_is_permanent(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong API key fails the task at once, before anything is sent."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_EVOLINK_DEFAULT", emulator.airflow_connection.replace(emulator.api_key, "sk-wrong")
    )
    with pytest.raises(EvoLinkFailException) as caught:
        harness.run(operator(min_credits_left=1))

    assert isinstance(caught.value.error, AuthenticationError)
    assert caught.value.charged is False


@pytest.mark.parametrize("value", [0, -1, True, "many", "None", float("nan"), float("inf")])
def test_invalid_numbers(emulator: EmulatorHandle, harness: TaskHarness, value: Any) -> None:
    """A value that is no number of credits is refused before anything is sent."""
    with pytest.raises(EvoLinkFailException, match=r"`min_credits_left`=.* is invalid: must be a number of credits"):
        harness.run(operator(min_credits_left=value))
    assert accepted(emulator) == []


def test_invalid_numbers_of_mapped_tasks() -> None:
    """A mapped task's number is checked when the DAG file is parsed."""
    with pytest.raises(EvoLinkFailException, match="`min_credits_left`=-1 is invalid"):
        EvoLinkGenerateOperator.partial(task_id="task", model="m", min_credits_left=-1)


def test_the_configuration_has_a_default(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[evolink] min_credits_left holds for tasks that set none, and is checked like theirs."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__MIN_CREDITS_LEFT", "1000000000")
    with pytest.raises(CreditsBelowMinimumError):
        harness.run(operator())
    assert harness.retry(operator(min_credits_left="10"))["status"] == "completed"
    monkeypatch.setenv("AIRFLOW__EVOLINK__MIN_CREDITS_LEFT", "some")
    with pytest.raises(EvoLinkFailException, match=r"`\[evolink\] min_credits_left`='some' is invalid"):
        TaskHarness().run(operator())
    assert harness.retry(operator())["reattached"] is True


def test_an_invalid_minimum_resumes_what_is_paid_for(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses a new payment only: a replay is sent, and the generation is waited for."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(Exception, match="On a retry or a clear"):
        harness.run(operator())
    monkeypatch.setenv("AIRFLOW__EVOLINK__MIN_CREDITS_LEFT", "some")

    assert harness.retry(operator())["replay"] == "confirmed"
    rendered = operator(min_credits_left="{{ few }}")
    rendered.min_credits_left = "few"
    assert harness.retry(rendered)["status"] == "completed"
    assert len(accepted(emulator)) == 1


def test_without_a_minimum_nothing_is_read(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A task without a minimum asks for no credits."""
    harness.run(operator())

    assert reads(emulator) == 0


@pytest.mark.parametrize(
    ("of_key", "of_account", "remaining"), [(5.0, 10.0, 5.0), (12.0, 10.0, 10.0), (None, 10.0, 10.0)]
)
def test_the_smaller_of_two_limits_counts(of_key: float | None, of_account: float, remaining: float) -> None:
    """An API key with fewer credits than the account counts; an unlimited one leaves it to the account."""
    assert Credits(of_key, of_account).remaining == remaining
