# SPDX-License-Identifier: Apache-2.0
"""Convert the end of a wait, for one generation or for many, into the trigger's only event, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_evolink.api.sanitize import sanitize
from airflow_provider_evolink.polling.crowd import CrowdEnd
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
    payload = _mapping(event)
    outcome = _outcome(payload, Outcome.DEADLINE)
    status, detail = (sanitize(payload.get(name), "") for name in ("status", "detail"))
    return StopPolling(outcome, status, detail)


def batch_event_payload(end: CrowdEnd) -> dict[str, str | int | None]:
    """Return the payload of the event for many generations; no ids, since a worker reads all of them."""
    return {"outcome": end.outcome.value, "ended": end.ended, "watched": end.watched, "detail": end.detail}


def parse_batch_event(event: Mapping[str, Any] | None) -> CrowdEnd:
    """Parse the event for many generations; one without a known outcome counts as terminal, so that a worker reads."""
    payload = _mapping(event)
    ended, watched = (_count(payload.get(name)) for name in ("ended", "watched"))
    return CrowdEnd(ended, watched, _outcome(payload, Outcome.TERMINAL), sanitize(payload.get("detail"), ""))


def _mapping(event: object) -> Mapping[str, Any]:
    return event if isinstance(event, Mapping) else {}


def _outcome(payload: Mapping[str, Any], default: Outcome) -> Outcome:
    try:
        return Outcome(payload.get("outcome", default))
    except ValueError:
        return default


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0
