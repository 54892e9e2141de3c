# SPDX-License-Identifier: Apache-2.0
"""What is measured of a crowd of triggers, and the median over several rounds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one contender.

    :param contender: its key.
    :param count: number of triggers started.
    :param finished: number of triggers that reported the success of their job before the cut-off.
    :param failed: the first errors of those that failed or reported a failure.
    :param seconds: from the first start to the last event, or to the cut-off.
    :param cpu_seconds: CPU time of the whole process meanwhile.
    :param requests: requests that the stub has received.
    :param connections: connections opened to the stub.
    :param lookups: look-ups of the Airflow connection.
    :param lag_p99: 99th percentile of the seconds that a due callback waits.
    :param lag_max: longest time for which the loop was busy, in seconds.
    :param own_p99: ``lag_p99`` of the loop's own work: CPU time without that of Python's collector.
    :param own_max: ``lag_max`` of the loop's own work.
    :param delay_mean: mean seconds from a job's end to its event.
    :param delay_p99: 99th percentile of the same.
    :param bytes_each: growth of the process per trigger when all were waiting.
    """

    contender: str
    count: int
    finished: int
    failed: list[str]
    seconds: float
    cpu_seconds: float
    requests: int
    connections: int
    lookups: int
    lag_p99: float
    lag_max: float
    own_p99: float
    own_max: float
    delay_mean: float | None
    delay_p99: float | None
    bytes_each: float

    @property
    def cpu_each(self) -> float | None:
        """CPU seconds per finished trigger."""
        return self.cpu_seconds / self.finished if self.finished else None

    @property
    def requests_each(self) -> float | None:
        """Requests per finished trigger."""
        return self.requests / self.finished if self.finished else None


def is_success(payload: object) -> bool:
    """Return whether an event reports the success of its job, in the format of any contender."""
    if not isinstance(payload, Mapping):
        return payload is True
    return payload.get("status", "success") in {"success", "completed"}


def median_of(rounds: Sequence[Measured]) -> Measured:
    """Return the median of every figure over the rounds of one contender and count."""
    names = [field.name for field in fields(Measured) if field.name not in {"contender", "count", "failed"}]
    figures: dict[str, Any] = {name: _median([getattr(measured, name) for measured in rounds]) for name in names}
    return replace(rounds[0], failed=[error for measured in rounds for error in measured.failed], **figures)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def net_of(measured: Measured, idle: Measured) -> float | None:
    """Return CPU seconds per trigger above those of sleeping triggers; None unless all have finished."""
    return (measured.cpu_seconds - idle.cpu_seconds) / measured.count if measured.finished == measured.count else None
