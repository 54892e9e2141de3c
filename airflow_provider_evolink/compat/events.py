# SPDX-License-Identifier: Apache-2.0
"""Asset events, as a task reads them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any


def events_since(events: Any, since: datetime) -> Iterable[Any]:
    """Return those of an inlet's events that are no older than a time, of which Airflow before 3.2 reads them all.

    :param events: of an inlet, from ``context["inlet_events"]``.
    """
    if hasattr(events, "after"):
        later: Iterable[Any] = events.after(since.isoformat())
        return later
    return [event for event in events if event.timestamp >= since]
