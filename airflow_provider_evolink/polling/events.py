# SPDX-License-Identifier: Apache-2.0
"""Convert the end of a wait into the trigger's only event, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_evolink.api.sanitize import sanitize
from airflow_provider_evolink.polling.policy import Outcome, StopPolling


def event_payload(stop: StopPolling, generation_id: str) -> dict[str, str | None]:
    """Return the payload of the event: small, plain JSON, without a link, since Airflow stores it in its database."""
    return {
        "generation_id": generation_id,
        "outcome": stop.outcome.value,
        "status": stop.status,
        "detail": stop.detail,
    }


def parse_event(event: Mapping[str, Any] | None) -> StopPolling:
    """Parse a trigger's event; one without a known outcome counts as a deadline, so that a worker reads."""
    payload = event if isinstance(event, Mapping) else {}
    try:
        outcome = Outcome(payload.get("outcome", Outcome.DEADLINE))
    except ValueError:
        outcome = Outcome.DEADLINE
    status, detail = (sanitize(payload.get(name), "") for name in ("status", "detail"))
    return StopPolling(outcome, status, detail)
