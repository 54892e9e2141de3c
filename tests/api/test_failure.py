# SPDX-License-Identifier: Apache-2.0
"""The reason of a failed generation, in every shape that EvoLink has reported it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from airflow_provider_evolink.api import generation
from airflow_provider_evolink.api.error_codes import is_retryable
from airflow_provider_evolink.api.failure import Reason, failure_reason
from airflow_provider_evolink.result import failure_error
from tests import hostile
from tests.hostile import CREATED

BLOCKED = "Content policy violation. Your request was blocked."
CODE = "content_policy_violation"


def failed_generation(**body: Any) -> generation.Generation:
    """Parse a failed generation with these fields."""
    return generation.parse_generation({**CREATED, "status": "failed", **body})


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"code": CODE, "message": BLOCKED}}, CODE, BLOCKED),
        ({"error": {"code": CODE, "message": BLOCKED, "details": "more"}}, CODE, BLOCKED),
        ({"error": BLOCKED}, CODE, BLOCKED),
        ({"error": CODE}, CODE, CODE),
        ({"error": f"{CODE}: blocked"}, CODE, f"{CODE}: blocked"),
        ({"error": "the picture is broken"}, None, "the picture is broken"),
        ({"error": None, "message": BLOCKED}, CODE, BLOCKED),
        ({"error": "", "message": BLOCKED}, CODE, BLOCKED),
        ({"error": {}, "message": BLOCKED}, CODE, BLOCKED),
        ({"error": None, "message": "no", "code": CODE}, CODE, "no"),
        ({"error": None, "message": "no", "code": 200}, None, "no"),
        ({"error": None, "fail_reason": "out of capacity"}, None, "out of capacity"),
        ({"error_message": BLOCKED}, CODE, BLOCKED),
        ({"error": [BLOCKED]}, CODE, BLOCKED),
        ({"error": [{"code": CODE, "message": "one"}, {"message": "two"}]}, CODE, "one; two"),
        ({"error": {"error": {"code": CODE, "message": BLOCKED}}}, CODE, BLOCKED),
        ({"error": {"code": None, "message": {"message": BLOCKED}}}, CODE, BLOCKED),
        ({"error": {"errors": [{"detail": BLOCKED}]}}, CODE, BLOCKED),
        ({"error": f'{{"code": "{CODE}", "message": "{BLOCKED}"}}'}, CODE, BLOCKED),
        ({"error": {"message": "Service error.\nPlease wait."}}, "service_error", "Service error. Please wait."),
        ({"error": {"code": "InvalidParameter.TaskTypeConstraint"}}, "InvalidParameter.TaskTypeConstraint", None),
        ({"error": {"code": 429, "message": "slow down"}}, "429", "slow down"),
        ({"error": {"description": "too dark"}}, None, '{"description": "too dark"}'),
        ({"error": {"why": {"kind": CODE}}}, CODE, f'{{"why": {{"kind": "{CODE}"}}}}'),
        ({"error": None}, None, None),
        ({"error": False}, None, None),
        ({}, None, None),
    ],
)
def test_the_reason_is_found_in_every_shape(body: dict[str, Any], code: str | None, message: str | None) -> None:
    """Code and message are found anywhere, and a documented code is recognized in plain words."""
    failed = failed_generation(**body)

    assert (failed.error_code, failed.error_message) == (code, message)


def test_a_reason_in_plain_words_ends_the_retries() -> None:
    """A violation in plain words is permanent, and the error quotes it with a single period."""
    failed = failed_generation(error=BLOCKED)
    text = str(failure_error(failed, cost=5))

    assert not is_retryable(failed.error_code)
    assert f"{CODE}: {BLOCKED} " in text
    assert ".." not in text


def test_other_messages_are_no_reason_without_a_failure() -> None:
    """Without a failure, a message is not a reason."""
    assert failure_reason({"error": None, "message": "queued"}, has_failed=False) == Reason()


@given(hostile.corrupted({"error": {"code": CODE, "message": BLOCKED}, "message": "no"}))
def test_any_body_has_a_reason_or_none(body: Any) -> None:
    """The reason in any body is one printable line, or none."""
    reason = failure_reason(body if isinstance(body, dict) else {"error": body}, has_failed=True)

    for text in (reason.code, reason.message):
        assert text is None or (text.isprintable() and text.strip())
