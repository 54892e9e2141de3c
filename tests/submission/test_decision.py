# SPDX-License-Identifier: Apache-2.0
"""What a try may do, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import (
    GenerationLostError,
    PermanentGenerationFailedError,
    StaleRequestError,
    SubmissionAbandonedError,
)
from airflow_provider_evolink.api.generation import Generation, Usage
from airflow_provider_evolink.submission.decision import (
    CONFLICT,
    REPLAY_SECONDS,
    Attach,
    Finish,
    Policy,
    Refuse,
    Replay,
    Submit,
    decide,
)
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from airflow_provider_evolink.submission.remote_state import RemoteNotFound, RemoteState

NOW = 100_000.0
INTENT = LedgerRecord(
    Phase.INTENT, "fp", "airflow-key", 1, "some-model", NOW - 99, send_count=1, in_doubt_since=NOW - 98
)
SENT_OFTEN = replace(INTENT, send_count=1000)
OLD = replace(INTENT, in_doubt_since=NOW - REPLAY_SECONDS)
# From before the first send, which sets in_doubt_since.
UNSENT = replace(INTENT, in_doubt_since=None)
CONFLICTING = replace(INTENT, replay=CONFLICT)
OF_OTHER_KEY = replace(INTENT, api_key_digest="of key a")
SUBMITTED = replace(
    INTENT, phase=Phase.SUBMITTED, generation_id="task-unified-1", submitted_at=NOW - 90, credits_reserved=102.34
)
FINISHED = replace(SUBMITTED, phase=Phase.FINISHED, max_tries=0, result={"status": "completed"})
FAILED = replace(SUBMITTED, phase=Phase.FAILED, error_code="service_error", max_tries=0)
REJECTED = replace(FAILED, error_code="content_policy_violation", error="blocked")
CHARGED = replace(FAILED, was_charged=True)
AGED = replace(SUBMITTED, submitted_at=NOW - 86_400)
NOT_AWAITED = replace(SUBMITTED, finished_without_waiting=True)
WITHDRAWN = replace(INTENT, phase=Phase.WITHDRAWN, submission_number=3, previous_ids=("task-unified-0",))

RUNNING = Generation(id="task-unified-1", status="processing")
UNKNOWN_STATUS = replace(RUNNING, status="dreaming")
READY = replace(RUNNING, status="completed", links=("https://media.example/0.mp4",))
EMPTY = replace(READY, links=())
BROKEN = replace(RUNNING, status="failed", error_code="service_error")
MODERATED = replace(RUNNING, status="failed", error_code="content_policy_violation")
CANCELLED = replace(RUNNING, status="cancelled")
BILLED = replace(BROKEN, raw={"billing": {"charge_status": "charged"}})
USED = replace(BROKEN, usage=Usage(credits_used=29.78))

DEFAULT = Policy()
FAIL_ON_UNKNOWN = Policy(on_unknown_submission="fail")
RESUBMIT_ON_CLEAR = Policy(on_clear="resubmit")
RESUBMIT_ON_CHANGE = Policy(on_changed_input="resubmit")
NEXT = Submit(2, ("task-unified-1",))


@pytest.mark.parametrize(
    ("record", "request_", "remote", "policy", "cleared", "decision"),
    [
        (None, "fp", None, DEFAULT, False, Submit(1)),
        (WITHDRAWN, "fp", None, DEFAULT, False, Submit(3, ("task-unified-0",))),
        (WITHDRAWN, "other", None, DEFAULT, False, Submit(3, ("task-unified-0",))),
        (INTENT, "fp", None, DEFAULT, False, Replay(INTENT)),
        (INTENT, "fp", None, DEFAULT, True, Replay(INTENT)),
        (INTENT, "fp", None, RESUBMIT_ON_CLEAR, True, Replay(INTENT)),
        (INTENT, "fp", None, FAIL_ON_UNKNOWN, False, SubmissionAbandonedError),
        (INTENT, "fp", None, FAIL_ON_UNKNOWN, True, SubmissionAbandonedError),
        (INTENT, "fp", None, Policy("fail", "resubmit"), True, Submit(2, ("airflow-key",))),
        (SENT_OFTEN, "fp", None, DEFAULT, False, Replay(SENT_OFTEN)),
        (UNSENT, "fp", None, DEFAULT, False, Replay(replace(UNSENT, in_doubt_since=NOW - 99))),
        *(
            case
            for doubtful in (OLD, CONFLICTING, OF_OTHER_KEY)
            for case in (
                (doubtful, "fp", None, DEFAULT, False, SubmissionAbandonedError),
                (doubtful, "fp", None, DEFAULT, True, SubmissionAbandonedError),
                (doubtful, "fp", None, RESUBMIT_ON_CLEAR, False, SubmissionAbandonedError),
                (doubtful, "fp", None, RESUBMIT_ON_CLEAR, True, Submit(2, ("airflow-key",))),
            )
        ),
        (NOT_AWAITED, "fp", RUNNING, DEFAULT, True, Attach(NOT_AWAITED, RUNNING)),
        (NOT_AWAITED, "fp", RUNNING, RESUBMIT_ON_CLEAR, False, Attach(NOT_AWAITED, RUNNING)),
        (NOT_AWAITED, "fp", RUNNING, RESUBMIT_ON_CLEAR, True, NEXT),
        (CHARGED, "other", None, DEFAULT, False, StaleRequestError),
        (CHARGED, "other", None, RESUBMIT_ON_CHANGE, False, NEXT),
        (CHARGED, "other", None, DEFAULT, True, NEXT),
        (SUBMITTED, "fp", USED, DEFAULT, False, PermanentGenerationFailedError),
        (SUBMITTED, "other", USED, DEFAULT, False, StaleRequestError),
        (INTENT, "other", None, DEFAULT, False, StaleRequestError),
        (INTENT, "other", None, RESUBMIT_ON_CHANGE, False, Submit(2, ("airflow-key",))),
        (SUBMITTED, "fp", None, DEFAULT, False, Attach(SUBMITTED)),
        (SUBMITTED, "fp", None, RESUBMIT_ON_CLEAR, True, Attach(SUBMITTED)),
        (SUBMITTED, "fp", None, FAIL_ON_UNKNOWN, False, Attach(SUBMITTED)),
        (SUBMITTED, "other", None, DEFAULT, False, StaleRequestError),
        (SUBMITTED, "other", None, RESUBMIT_ON_CHANGE, False, NEXT),
        (FINISHED, "fp", None, DEFAULT, False, Finish(FINISHED)),
        (FINISHED, "fp", None, DEFAULT, True, Finish(FINISHED)),
        (FINISHED, "fp", None, RESUBMIT_ON_CLEAR, False, Finish(FINISHED)),
        (FINISHED, "fp", None, RESUBMIT_ON_CLEAR, True, NEXT),
        (FINISHED, "other", None, DEFAULT, True, StaleRequestError),
        (FINISHED, "other", None, RESUBMIT_ON_CHANGE, True, NEXT),
        (FINISHED, "other", None, RESUBMIT_ON_CLEAR, True, NEXT),
        (FAILED, "fp", None, DEFAULT, False, NEXT),
        (FAILED, "other", None, DEFAULT, False, NEXT),
        (REJECTED, "fp", None, DEFAULT, False, PermanentGenerationFailedError),
        (CHARGED, "fp", None, DEFAULT, False, PermanentGenerationFailedError),
        (CHARGED, "fp", None, DEFAULT, True, NEXT),
        (REJECTED, "fp", None, DEFAULT, True, NEXT),
        (REJECTED, "other", None, DEFAULT, False, NEXT),
        (SUBMITTED, "fp", RUNNING, DEFAULT, False, Attach(SUBMITTED, RUNNING)),
        (SUBMITTED, "fp", UNKNOWN_STATUS, DEFAULT, False, Attach(SUBMITTED, UNKNOWN_STATUS)),
        (SUBMITTED, "fp", RUNNING, RESUBMIT_ON_CLEAR, True, Attach(SUBMITTED, RUNNING)),
        (SUBMITTED, "fp", READY, DEFAULT, False, Finish(SUBMITTED, READY)),
        (SUBMITTED, "fp", READY, RESUBMIT_ON_CLEAR, True, Finish(SUBMITTED, READY)),
        (SUBMITTED, "fp", EMPTY, DEFAULT, True, Finish(SUBMITTED, EMPTY)),
        (SUBMITTED, "fp", EMPTY, RESUBMIT_ON_CLEAR, False, Finish(SUBMITTED, EMPTY)),
        (SUBMITTED, "fp", EMPTY, RESUBMIT_ON_CLEAR, True, NEXT),
        (AGED, "fp", RUNNING, DEFAULT, True, Attach(AGED, RUNNING)),
        (AGED, "fp", RUNNING, RESUBMIT_ON_CLEAR, False, Attach(AGED, RUNNING)),
        (AGED, "fp", RUNNING, RESUBMIT_ON_CLEAR, True, NEXT),
        (AGED, "fp", None, RESUBMIT_ON_CLEAR, True, NEXT),
        (AGED, "fp", READY, RESUBMIT_ON_CLEAR, True, Finish(AGED, READY)),
        (SUBMITTED, "fp", BROKEN, DEFAULT, False, NEXT),
        (SUBMITTED, "fp", BROKEN, FAIL_ON_UNKNOWN, False, NEXT),
        (SUBMITTED, "fp", CANCELLED, DEFAULT, False, NEXT),
        (SUBMITTED, "fp", BILLED, DEFAULT, False, PermanentGenerationFailedError),
        (SUBMITTED, "fp", BILLED, DEFAULT, True, NEXT),
        (SUBMITTED, "fp", MODERATED, DEFAULT, False, PermanentGenerationFailedError),
        (SUBMITTED, "other", MODERATED, DEFAULT, False, NEXT),
        (SUBMITTED, "fp", RemoteNotFound(), DEFAULT, False, GenerationLostError),
        (SUBMITTED, "fp", RemoteNotFound(), DEFAULT, True, GenerationLostError),
        (SUBMITTED, "fp", RemoteNotFound(), RESUBMIT_ON_CLEAR, False, GenerationLostError),
        (SUBMITTED, "fp", RemoteNotFound(), RESUBMIT_ON_CLEAR, True, NEXT),
        (SUBMITTED, "other", RemoteNotFound(), DEFAULT, False, StaleRequestError),
        (SUBMITTED, "other", READY, DEFAULT, False, StaleRequestError),
        (SUBMITTED, "other", READY, RESUBMIT_ON_CHANGE, False, NEXT),
    ],
)
def test_each_case(
    record: LedgerRecord | None, request_: str, remote: RemoteState, policy: Policy, cleared: bool, decision: Any
) -> None:
    """Each combination of ledger, request, remote state and policy has exactly one decision."""
    decided = decide(record, request_, remote, policy, cleared=cleared, now=NOW, api_key_digest="of key b")

    if isinstance(decision, type):
        assert isinstance(decided, Refuse)
        assert type(decided.error) is decision
        assert decided.error.permanent
    else:
        assert decided == decision


def test_no_id_is_dropped() -> None:
    """A submission that replaces another keeps the ids of all before it."""
    known = replace(FINISHED, submission_number=3, previous_ids=("task-unified-x", "airflow-lost"))
    decided = decide(known, "fp", None, RESUBMIT_ON_CLEAR, cleared=True, now=NOW)
    assert decided == Submit(4, ("task-unified-x", "airflow-lost", "task-unified-1"))


def test_a_refusal_reports_what_was_paid() -> None:
    """The error of a changed request has the generation, its price, what a retry does, and both ways out."""
    decided = decide(SUBMITTED, "other", None, DEFAULT, cleared=False, now=NOW)

    assert isinstance(decided, Refuse)
    assert decided.error.generation_id == "task-unified-1"
    for fact in ("task-unified-1", "102.34", "retry", 'on_changed_input="resubmit"', "EvoLinkGenerationSensor"):
        assert fact in str(decided.error)


@pytest.mark.parametrize("message", ["It was blocked.", "It was blocked", "  It was\nblocked. ", None])
def test_a_permanent_failure_is_reported_in_sentences(message: str | None) -> None:
    """EvoLink's message is quoted in a sentence with one full stop; without one, the code stands alone."""
    decided = decide(replace(REJECTED, error=message), "fp", None, DEFAULT, cleared=False, now=200.0)

    assert isinstance(decided, Refuse)
    assert decided.error.generation_id == "task-unified-1"
    assert "content_policy_violation" in str(decided.error)
    assert ("It was blocked. " in str(decided.error)) is bool(message)
    assert ".." not in str(decided.error)
    assert "retry" in str(decided.error)


@pytest.mark.parametrize(("code", "is_known"), [("content_policy_violation", True), ("weird_code", False)])
def test_nothing_is_claimed_about_a_code_that_is_not_documented(code: str, is_known: bool) -> None:
    """Only of a documented error code is it known that the same request would fail again."""
    decided = decide(replace(REJECTED, error_code=code), "fp", None, DEFAULT, cleared=False, now=200.0)

    assert isinstance(decided, Refuse)
    assert ("would fail again" in str(decided.error)) is is_known
    assert "clear the task" in str(decided.error)


def test_an_abandoned_submission_names_its_idempotency_key() -> None:
    """The idempotency key is what a person can look for, and no retry sends it again."""
    decided = decide(INTENT, "fp", None, FAIL_ON_UNKNOWN, cleared=False, now=NOW)

    assert isinstance(decided, Refuse)
    for fact in ("airflow-key", "may have been accepted and charged", "retry", 'on_clear="resubmit"'):
        assert fact in str(decided.error)


def test_a_lost_generation_is_reported_with_its_price() -> None:
    """The error of a generation that EvoLink dropped has its id, its price, and how to pay for a new one."""
    decided = decide(SUBMITTED, "fp", RemoteNotFound(), DEFAULT, cleared=False, now=NOW)

    assert isinstance(decided, Refuse)
    assert decided.error.generation_id == "task-unified-1"
    for fact in ("task-unified-1", "102.34", 'on_clear="resubmit"', "Nothing was sent", "retry"):
        assert fact in str(decided.error)
