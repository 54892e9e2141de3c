# SPDX-License-Identifier: Apache-2.0
"""The trigger's one event, as it goes through Airflow's database. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_evolink.api import answers
from airflow_provider_evolink.api.pacing import Outcome, Stop


def event_of(stop: Stop, generation_id: str) -> dict[str, str | None]:
    """The event's payload: small, plain and without a link."""
    return {
        "generation_id": generation_id,
        "outcome": stop.outcome.value,
        "status": stop.status,
        "detail": stop.detail,
    }


def stop_of(event: Mapping[str, Any] | None) -> Stop:
    """Read a trigger's event; one that says nothing counts as a deadline, which is looked into."""
    said = event if isinstance(event, Mapping) else {}
    try:
        outcome = Outcome(said.get("outcome", Outcome.DEADLINE))
    except ValueError:
        outcome = Outcome.DEADLINE
    status, detail = (answers.clean(said.get(name), "") for name in ("status", "detail"))
    return Stop(outcome, status, detail)
