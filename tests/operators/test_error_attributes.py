# SPDX-License-Identifier: Apache-2.0
"""Every exception carries what an alert needs, as the documentation's table has it, and keeps it through pickle."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.error_facts import ATTRIBUTES
from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError
from airflow_provider_evolink.batch import errors as batch_errors
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.execution import credits_check
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from tests.batch.batches import batch, rows, run
from tests.leaping import LeapingTime
from tests.operators.submissions import TEXT, accepted, operator
from tests.task_harness import FailingStore, TaskHarness

pytestmark = pytest.mark.usefixtures("no_pauses", "no_submission_pauses")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "alerts.md"
COLUMNS = ("generation_id", "code", "credits_reserved", "credits_used", "charged", "request_id")
CONN_ID = "evolink_default"


def all_errors() -> list[type[EvoLinkError]]:
    """Return every error class."""
    found = [*vars(errors).values(), *vars(batch_errors).values()]
    return [each for each in found if isinstance(each, type) and issubclass(each, EvoLinkError)]


def subclasses(name: str) -> list[str]:
    """Return the names of an error's subclasses."""
    return [each.__name__ for each in all_errors() if name in {base.__name__ for base in each.__mro__[1:]}]


def documented() -> dict[str, tuple[str, ...]]:
    """Return the row of each exception in the documentation's table."""
    table: dict[str, tuple[str, ...]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if len(cells) == len(COLUMNS) + 1:
            for name in re.findall(r"`(\w+Error)`", cells[0]):
                table |= dict.fromkeys([name, *(subclasses(name) if "subclasses" in cells[0] else [])], cells[1:])
    return table


TABLE = documented()


def failure_of(attempt: Callable[..., Any], *args: Any) -> Any:
    """Return what an attempt raises."""
    with pytest.raises((EvoLinkError, EvoLinkFailException)) as caught:
        attempt(*args)
    return caught.value


def check(error: Any, name: str, **expected: Any) -> None:
    """Check an exception's attributes: the given ones, those of the table, and all of them after pickle and copy."""
    wrapped = error.error if isinstance(error, EvoLinkFailException) else error
    assert type(wrapped).__name__ == name
    facts = {attribute: getattr(error, attribute) for attribute in (*ATTRIBUTES, "retryable")}
    assert facts == {attribute: getattr(wrapped, attribute) for attribute in (*ATTRIBUTES, "retryable")}
    assert facts["conn_id"] == CONN_ID
    assert facts["retryable"] is not isinstance(error, EvoLinkFailException)
    assert {attribute: facts[attribute] for attribute in expected} == expected
    for column, cell in zip(COLUMNS, TABLE[name], strict=True):
        assert cell not in {"no", "`None`"} or facts[column] is None, column
        assert cell != "yes" or facts[column] is not None, column
        assert cell not in {"`True`", "`False`"} or repr(facts[column]) == cell.strip("`"), column
    json.dumps(facts)
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(copied) is type(error)
        assert (str(copied), copied.args) == (str(error), error.args)
        assert {attribute: getattr(copied, attribute) for attribute in facts} == facts


def test_invalid_input(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Nothing was charged for a value that is refused."""
    error = failure_of(harness.run, operator(prompt=""))

    check(error, "InvalidInputError", charged=False, model=TEXT)


def test_a_connection(emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was charged if the connection can't be used from the start."""
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps({"conn_type": "ftp"}))

    check(failure_of(harness.run, operator()), "ConfigurationError", charged=False, model=TEXT)


def test_too_few_credits(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A minimum that is not met has cost nothing."""
    credits_check._readings.clear()

    check(failure_of(harness.run, operator(min_credits_left=1e9)), "CreditsBelowMinimumError", model=TEXT)


def test_unreadable_credits(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """The response to the read of the credits is passed on."""
    credits_check._readings.clear()
    emulator.control.inject("server_error", on="credits", times=4, status=503)

    check(failure_of(harness.run, operator(min_credits_left=1)), "CreditsUnknownError", model=TEXT)


def test_a_rejected_submission(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """EvoLink's code, message and request id are there, and that nothing was charged."""
    emulator.control.add_credits(-emulator.control.state()["credits"]["balance"])

    error = failure_of(harness.run, operator())

    check(error, "InsufficientCreditsError", charged=False, model=TEXT)
    assert error.code
    assert error.request_id


def test_a_rejected_resubmission(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """After an earlier success, a rejected submission is about itself, not about the earlier generation."""
    harness.run(operator())
    emulator.control.add_credits(-emulator.control.state()["credits"]["balance"])

    error = failure_of(harness.clear, operator(on_clear="resubmit"))

    check(error, "InsufficientCreditsError", charged=False, generation_id=None, credits_used=None)


def test_an_unreachable_host(harness: TaskHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that never left has cost nothing."""
    connection = {"conn_type": "evolink", "host": "http://127.0.0.1:1", "password": "sk-x"}
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(connection))

    error = failure_of(harness.run, operator())
    check(error, "NotSentError", charged=False, model=TEXT)
    assert str(error).startswith("EvoLink (http://127.0.0.1:1, connection 'evolink_default') could not be reached")


@pytest.mark.parametrize(
    ("policy", "name"), [("replay", "SubmissionUnknownError"), ("fail", "SubmissionAbandonedError")]
)
def test_a_lost_response(emulator: EmulatorHandle, harness: TaskHarness, policy: Any, name: str) -> None:
    """Whether a submission was charged is unknown once its response is lost, in a later try, too."""
    emulator.control.inject("server_error", on="submit", times=2, status=503)

    error = failure_of(harness.run, operator(on_unknown_submission=policy))

    check(error, name, charged=None, model=TEXT)
    assert error.code
    if policy == "fail":
        later = failure_of(harness.retry, operator(on_unknown_submission=policy))
        check(later, name, charged=None, model=TEXT)


def test_a_changed_request(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """The error names what the earlier try has paid for."""
    record = harness.run(operator())

    error = failure_of(harness.clear, operator("Another"))

    used = record["usage"]["credits_used"]
    check(error, "StaleRequestError", generation_id=record["generation_id"], charged=True, credits_used=used)


@pytest.mark.parametrize(
    ("fault", "code", "name"),
    [
        ("generation_failed", "service_error", "GenerationFailedError"),
        ("generation_failed", "content_policy_violation", "PermanentGenerationFailedError"),
    ],
)
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_failed_generation(
    emulator: EmulatorHandle, harness: TaskHarness, fault: str, code: str, name: str, deferrable: bool
) -> None:
    """A failed generation's id, code, message and reserved credits are there, and whether EvoLink has charged."""
    emulator.control.inject(fault, on="submit", times=1, code=code)

    error = failure_of(harness.run, operator(deferrable=deferrable))

    [made] = accepted(emulator)
    check(error, name, generation_id=made["id"], code=code, charged=False, model=TEXT, credits_reserved=30.7)
    if not error.retryable:
        later = failure_of(harness.retry, operator())
        check(later, name, generation_id=made["id"], code=code, charged=False, model=TEXT, credits_reserved=30.7)


def test_a_timeout(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A generation that is under way has credits reserved, and nothing is decided."""
    emulator.control.set_speed(0.01)

    error = failure_of(harness.run, operator(timeout=1.5))

    [made] = accepted(emulator)
    check(error, "GenerationTimeoutError", generation_id=made["id"], charged=None, credits_reserved=30.7, model=TEXT)


@pytest.mark.parametrize(
    ("fault", "name"), [("not_found", "GenerationNotFoundError"), ("http_error", "AccessDeniedError")]
)
def test_a_refused_read(
    emulator: EmulatorHandle, harness: TaskHarness, leaping: LeapingTime, fault: str, name: str
) -> None:
    """A refusal to return the generation says nothing about its charge."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    emulator.control.inject(fault, on="read", times=None)

    error = failure_of(task.execute_complete, harness.context, {"outcome": "refused"})

    [made] = accepted(emulator)
    check(error, name, generation_id=made["id"], charged=None, credits_reserved=30.7, model=TEXT)


def test_a_missing_result(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A completed generation without a link was charged."""
    emulator.control.inject("no_results", on="submit", times=1)

    error = failure_of(harness.run, operator())

    [made] = accepted(emulator)
    check(error, "ResultMissingError", generation_id=made["id"], charged=True, model=TEXT, credits_reserved=30.7)


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_landing(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path, deferrable: bool) -> None:
    """A result that can't be landed was charged; a retry of the task knows the same from its ledger."""
    emulator.control.inject("html_response", on="media", times=None, status=503)
    task = operator(destination=str(tmp_path), deferrable=deferrable)

    for attempt in (harness.run, harness.retry):
        error = failure_of(attempt, task)
        [made] = accepted(emulator)
        check(error, type(error).__name__, generation_id=made["id"], charged=True, model=TEXT, credits_reserved=30.7)
        assert error.credits_used == emulator.control.state()["credits"]["charged"]


@pytest.mark.parametrize("as_record", [True, False])
def test_the_transfer(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path, as_record: bool) -> None:
    """The transfer knows what the record has, or what EvoLink reports."""
    record = harness.run(operator())
    emulator.control.inject("html_response", on="media", times=None, status=503)
    transfer = EvoLinkToObjectStorageOperator(
        task_id="land", generation=record if as_record else record["generation_id"], destination=str(tmp_path)
    )

    error = failure_of(TaskHarness().run, transfer)

    used = record["usage"]["credits_used"]
    expected = {"generation_id": record["generation_id"], "model": TEXT, "credits_used": used, "charged": True}
    assert {name: getattr(error, name) for name in expected} == expected
    assert error.conn_id == CONN_ID


def test_the_sensor(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """The sensor knows what EvoLink reports."""
    emulator.control.inject("generation_failed", on="submit", times=1, code="service_error")
    failure_of(harness.run, operator())
    [made] = accepted(emulator)

    error = failure_of(TaskHarness().run, EvoLinkGenerationSensor(task_id="wait", generation_id=made["id"]))

    check(error, "PermanentGenerationFailedError", generation_id=made["id"], charged=False, model=TEXT)


def test_the_ledger(emulator: EmulatorHandle) -> None:
    """Nothing was charged if the intent could not be written; after the end, the ledger tells what is known."""
    error = failure_of(TaskHarness(store=FailingStore(1)).run, operator())
    check(error, "LedgerError", charged=False, generation_id=None)

    error = failure_of(TaskHarness(store=FailingStore(3)).run, operator())
    check(error, "LedgerError", generation_id=accepted(emulator)[0]["id"], credits_reserved=30.7)


def test_a_batch(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """A batch sums up its rows, and names the code of the first that has failed."""
    emulator.control.inject("generation_failed", on="submit", times=1, code="content_policy_violation")

    error = failure_of(run, harness, batch(rows(3), tmp_path, poll_interval=1))

    used = emulator.control.state()["credits"]["charged"]
    check(error, "PermanentBatchFailedError", code="content_policy_violation", charged=True, model=TEXT)
    assert (error.credits_used, error.credits_reserved) == pytest.approx((used, 0.0))


def test_a_batch_of_invalid_rows(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Nothing was charged for rows that are refused."""
    check(failure_of(run, harness, batch(rows(1, duration=99), tmp_path, poll_interval=1)), "InvalidRowsError")


@pytest.mark.parametrize("error_class", all_errors())
def test_pickle_keeps_every_class(error_class: type[EvoLinkError]) -> None:
    """An exception of any class survives pickle, alone and inside an EvoLinkFailException."""
    error = error_class.__new__(error_class, "facts")
    EvoLinkError.__init__(error, "facts", advice="advice", generation_id="task-1", retry_after=2.0)
    error.code = "a_code"

    for each in (error, EvoLinkFailException(error)):
        copied = pickle.loads(pickle.dumps(each))
        assert (type(copied), str(copied), copied.code) == (type(each), "facts advice", "a_code")
        assert copied.generation_id == "task-1"


def test_pickle_keeps_what_a_class_adds() -> None:
    """Attributes that only one class has are kept as well."""
    copied = pickle.loads(pickle.dumps(InvalidInputError("duration", 99, "at most 10")))

    assert (copied.parameter, copied.value, copied.allowed) == ("duration", 99, "at most 10")


def test_exceptions_of_a_mapped_argument(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A model that is not text, as of a broken template, does not break the error about it."""
    task = EvoLinkGenerateOperator(task_id="task", model="{{ model }}", parameters={})
    task.model = 5

    assert failure_of(harness.run, task).model is None
