# SPDX-License-Identifier: Apache-2.0
"""The trigger's one event, as it goes through Airflow's database. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_evolink.api.sanitize import sanitize
from airflow_provider_evolink.polling.policy import Outcome, StopPolling


def event_payload(stop: StopPolling, generation_id: str) -> dict[str, str | None]:
    """The event's payload: small, plain and without a link."""
    return {
        "generation_id": generation_id,
        "outcome": stop.outcome.value,
        "status": stop.status,
        "detail": stop.detail,
    }


def parse_event(event: Mapping[str, Any] | None) -> StopPolling:
    """Read a trigger's event; one that says nothing counts as a deadline, which is looked into."""
    payload = event if isinstance(event, Mapping) else {}
    try:
        outcome = Outcome(payload.get("outcome", Outcome.DEADLINE))
    except ValueError:
        outcome = Outcome.DEADLINE
    status, detail = (sanitize(payload.get(name), "") for name in ("status", "detail"))
    return StopPolling(outcome, status, detail)
