# SPDX-License-Identifier: Apache-2.0
"""Tests of the retry policy: the decision for each kind of failure, and that Airflow accepts the policy."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.serialization.serialized_objects import LazyDeserializedDAG

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.retry import EvoLinkRetryPolicy, evolink_retry_policy
from tests.marks import needs_retry_policies

POLICY = evolink_retry_policy()
SLOWER = errors.RateLimitedError("429", status=429, retry_after=100.0)
BUSY = errors.ServerError("503", status=503, retry_after=7.0)
PLAIN = errors.RateLimitedError("429", status=429)


def failed(code: str) -> errors.GenerationFailedError:
    """Return the error of a failed generation."""
    return errors.GenerationFailedError("failed", generation_id="task-unified-1", code=code)


@pytest.mark.parametrize(
    ("error", "try_number", "jitter", "seconds"),
    [
        (SLOWER, 1, 0.0, 100.0),
        (SLOWER, 9, 0.0, 100.0),
        (SLOWER, 1, 1.0, 120.0),
        (BUSY, 1, 0.0, 7.0),
        (PLAIN, 1, 0.0, 30.0),
        (PLAIN, 2, 0.0, 60.0),
        (PLAIN, 3, 1.0, 96.0),
        (PLAIN, 6, 0.0, 600.0),
        (PLAIN, 5000, 0.0, 600.0),
        (failed("service_error"), 1, 0.0, 30.0),
        (failed("resource_exhausted"), 1, 0.0, 60.0),
        (failed("service_unavailable"), 2, 0.0, 240.0),
        (failed("a_future_code"), 1, 0.0, 30.0),
        (errors.ConnectionLostError("lost"), 1, 0.0, 30.0),
        (errors.SubmissionUnknownError("lost"), 1, 0.0, 30.0),
        (errors.ServerError("503", status=503, retry_after=0.0), 2, 0.0, 60.0),
        (errors.SubmissionUnknownError("lost", retry_after=120.0), 1, 0.0, 120.0),
        (errors.PollingFailedError("down", retry_after=40.0), 3, 0.0, 40.0),
        (errors.LandingError("half"), 2, 0.0, 60.0),
    ],
)
def test_delay(error: errors.EvoLinkError, try_number: int, jitter: float, seconds: float) -> None:
    """The delay is at least EvoLink's Retry-After, or else doubles with each try up to the limit."""
    assert POLICY.delay(error, try_number, jitter=jitter) == pytest.approx(seconds)


def error_classes(base: type[errors.EvoLinkError] = errors.EvoLinkError) -> list[type[errors.EvoLinkError]]:
    """Return every error class of the package."""
    return [base, *(cls for child in base.__subclasses__() for cls in error_classes(child))]


@needs_retry_policies
@pytest.mark.parametrize("cls", error_classes(), ids=lambda cls: cls.__name__)
def test_permanent_errors_fail_and_all_others_are_retried(cls: type[errors.EvoLinkError]) -> None:
    """A permanent error ends the retries, every other one is retried, and the reason holds no message."""
    error = cls.__new__(cls)
    errors.EvoLinkError.__init__(error, "text of EvoLink's")
    error.__dict__.update(code="some_code")

    decision = POLICY.evaluate(error, 1, 3)

    assert decision.action.name == ("FAIL" if cls.permanent else "RETRY")
    assert decision.reason
    assert cls.__name__ in decision.reason
    assert "text of EvoLink's" not in decision.reason


@needs_retry_policies
@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), EvoLinkFailException(PLAIN)])
def test_other_errors_follow_the_tasks_settings(error: BaseException) -> None:
    """Errors of the user's code are left to the task's own settings."""
    assert POLICY.evaluate(error, 1, 3).action.name == "DEFAULT"


@needs_retry_policies
@pytest.mark.parametrize(("try_number", "max_tries"), [(1, 0), (4, 3), (9, 3)])
def test_no_retry_is_announced_after_the_last_try(try_number: int, max_tries: int) -> None:
    """The policy is consulted even when no retry is left: it then announces none, but still names a permanent error."""
    assert POLICY.evaluate(PLAIN, try_number, max_tries).action.name == "DEFAULT"
    denied = errors.AccessDeniedError("403", status=403)
    assert POLICY.evaluate(denied, try_number, max_tries).action.name == "FAIL"


@needs_retry_policies
def test_the_last_retry_is_announced() -> None:
    """Airflow's ``max_tries`` counts retries: with 3, a fourth try follows the third."""
    assert POLICY.evaluate(PLAIN, 3, 3).action.name == "RETRY"


@pytest.mark.parametrize("given", [{"first_delay": 0}, {"first_delay": 700}, {"longest_delay": timedelta(seconds=5)}])
def test_invalid_delays(given: dict[str, Any]) -> None:
    """Invalid delays are refused by name when the DAG is parsed."""
    with pytest.raises(ValueError, match="first_delay"):
        evolink_retry_policy(**given)


def test_a_dag_with_the_policy_can_be_serialized() -> None:
    """Airflow serializes the DAG, and where it asks policies it knows that the task has one."""
    with DAG("dag", schedule=None, default_args={"retries": 3, "retry_policy": evolink_retry_policy()}) as dag:
        EvoLinkGenerateOperator(task_id="task", model="m", parameters={})

    [task] = LazyDeserializedDAG.from_dag(dag).data["dag"]["tasks"]

    assert task["__var"]["retries"] == 3
    if hasattr(BaseOperator, "retry_policy"):
        assert task["__var"]["has_retry_policy"]
        assert dag.get_task("task").retry_policy == EvoLinkRetryPolicy(30.0, 600.0)
