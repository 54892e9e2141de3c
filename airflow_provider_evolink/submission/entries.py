# SPDX-License-Identifier: Apache-2.0
"""The entries that the tries of one task instance have written under one name, in a store and in its copy.

Each try has an entry of its own, so that a late try can't overwrite what a later one has written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_evolink.submission.record import Phase

# What :meth:`TryEntries.newest` returns if no try has written anything.
ABSENT = object()


class Store(Protocol):
    """Store JSON values by name, like Airflow's task state store."""

    def get(self, key: str, default: Any = None) -> Any: ...  # noqa: D102
    def set(self, key: str, value: Any, *, retention: Any = None) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class TryEntries:
    """Read and write the entries of one name.

    :param store: Airflow's task state store, or files. It refuses the writes of a try that has been superseded.
    :param retention: passed with each write.
    :param name: store key of the first try's entry; that of a later try has its number appended.
    :param try_number: of the try that reads and writes.
    :param copy: a second store, which a clear does not empty.
    """

    store: Store
    retention: Any
    name: str
    try_number: int
    copy: Store | None = None

    def newest(self) -> Any:
        """Return the latest entry in the store, or ``ABSENT``."""
        return next(self._in(self.store), ABSENT)

    def copied(self) -> Iterator[Any]:
        """Yield the entries in the copy, latest first."""
        return iter(()) if self.copy is None else self._in(self.copy)

    def write(self, value: Mapping[str, Any]) -> None:
        """Write this try's entry to the store."""
        self.store.set(self._key(self.try_number), value, retention=self.retention)

    def write_copy(self, value: Mapping[str, Any]) -> None:
        """Write this try's entry to the copy."""
        if self.copy is not None:
            self.copy.set(self._key(self.try_number), value)

    def _in(self, store: Store) -> Iterator[Any]:
        for try_number in range(max(self.try_number, 1), 0, -1):
            stored = store.get(self._key(try_number), ABSENT)
            if stored is not ABSENT:
                yield stored

    def _key(self, try_number: int) -> str:
        return self.name if try_number <= 1 else f"{self.name}.{try_number}"


def intent_at(entry: object) -> float:
    """Return when an entry's submission began; an unreadable one counts as the latest, so that it is not missed."""
    time = entry.get("intent_at") if isinstance(entry, Mapping) else None
    return time if isinstance(time, int | float) else math.inf


def is_open(entry: object) -> bool:
    """Return whether an entry is an intent without a response."""
    return isinstance(entry, Mapping) and entry.get("phase") == Phase.INTENT


def with_response(entry: Any, others: Iterable[Any]) -> Any:
    """Return the entry that holds the response to an open submission, or the given one if there is none."""
    if not is_open(entry):
        return entry
    key = entry.get("idempotency_key")
    return next((other for other in others if _has_id(other) and other.get("idempotency_key") == key), entry)


def _has_id(entry: object) -> bool:
    return isinstance(entry, Mapping) and entry.get("generation_id") is not None
