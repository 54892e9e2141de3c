# SPDX-License-Identifier: Apache-2.0
"""Why a generation failed, in every shape that EvoLink has said it."""

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


def failed(**answer: Any) -> generation.Generation:
    """Read a failed generation with this answer."""
    return generation.parse_generation({**CREATED, "status": "failed", **answer})


@pytest.mark.parametrize(
    ("answer", "code", "message"),
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
def test_the_reason_is_read_in_every_shape(answer: dict[str, Any], code: str | None, message: str | None) -> None:
    """Code and message are found wherever they stand, and a documented code is recognized in words."""
    seen = failed(**answer)

    assert (seen.error_code, seen.error_message) == (code, message)


def test_a_reason_in_words_decides_about_a_retry() -> None:
    """A violation that is only said in words ends the retries, and its words are in the error, with one full stop."""
    seen = failed(error=BLOCKED)
    text = str(failure_error(seen, cost=5))

    assert not is_retryable(seen.error_code)
    assert f"{CODE}: {BLOCKED} " in text
    assert ".." not in text


def test_what_has_not_failed_has_no_reason_beside_error() -> None:
    """A message beside a generation that goes on, or is completed, is no failure."""
    assert failure_reason({"error": None, "message": "queued"}, has_failed=False) == Reason()


@given(hostile.gone_wrong({"error": {"code": CODE, "message": BLOCKED}, "message": "no"}))
def test_any_answer_has_a_reason_or_none(answer: Any) -> None:
    """Whatever stands there, the reason is one printable line, or nothing."""
    reason = failure_reason(answer if isinstance(answer, dict) else {"error": answer}, has_failed=True)

    for text in (reason.code, reason.message):
        assert text is None or (text.isprintable() and text.strip())
