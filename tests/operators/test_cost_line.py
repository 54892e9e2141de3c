# SPDX-License-Identifier: Apache-2.0
"""The line that ends the log of a task that lands."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_evolink.execution.cost_line import cost_line, cost_of


def usage(used: Any, reserved: Any = None) -> dict[str, Any]:
    """Return a record with these credits."""
    return {"usage": {"credits_used": used, "credits_reserved": reserved, "billing_rule": None}}


@pytest.mark.parametrize(
    ("records", "line"),
    [
        ([usage(50)], "Cost: 50 credits."),
        ([usage(0)], "Cost: 0 credits."),
        ([usage(61.4, 70), usage(1200)], "Cost: 1,261.4 credits."),
        ([usage(None, 50)], "Cost: 50 credits reserved, not settled yet."),
        ([usage(50), usage(None, 30)], "Cost: 50 credits; 30 credits reserved, not settled yet."),
        ([usage(None)], "Cost: not reported by EvoLink for 1 generation."),
        ([usage(5), usage(None), {}], "Cost: 5 credits; not reported by EvoLink for 2 generations."),
        ([{"usage": "free"}, usage("50")], "Cost: not reported by EvoLink for 2 generations."),
    ],
)
def test_the_cost_of_generations(records: list[dict[str, Any]], line: str) -> None:
    """It adds up what was used, names what is reserved or unreported, and survives whatever a record holds."""
    assert cost_of(records) == line


def test_the_cost_of_a_batch() -> None:
    """A batch that has spent nothing costs nothing."""
    assert cost_line(0.0, 0.0) == "Cost: 0 credits."
