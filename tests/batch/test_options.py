# SPDX-License-Identifier: Apache-2.0
"""The choices of a batch's author."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_evolink.batch.options import BatchOptions
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.submission.decision import Policy

GIVEN: dict[str, Any] = {
    "policy": Policy(),
    "max_in_flight": 100,
    "max_credits": None,
    "min_credits_left": None,
    "max_failed": 0,
    "on_row_failure": "continue",
    "on_invalid": "fail",
    "skip_existing": True,
    "on_existing": OnExisting.FAIL,
    "filename_pattern": "{key}",
    "conn_id": "evolink_default",
    "api_key": "sk-planted",
    "fingerprint": lambda _: "",
    "watch": lambda _: None,
    "try_number": 1,
    "max_tries": 0,
}


@pytest.mark.parametrize(
    ("max_failed", "total", "allowed"),
    [(0, 10, 0), (3, 2, 3), (0.29, 100, 29), (0.3, 10, 3), (0.05, 19, 0), (1.0, 7, 7), (0.0, 7, 0)],
)
def test_how_many_rows_may_fail(max_failed: float, total: int, allowed: int) -> None:
    """A number counts rows, a share is rounded down, and binary fractions don't take one away."""
    assert BatchOptions(**{**GIVEN, "max_failed": max_failed}).allowed_failures(total) == allowed


def test_the_api_key_is_not_shown() -> None:
    """The options can be printed, as error trackers do with local variables."""
    assert "planted" not in repr(BatchOptions(**GIVEN))
