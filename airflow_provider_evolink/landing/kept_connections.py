# SPDX-License-Identifier: Apache-2.0
"""Keep connections to media hosts for the next file: a TLS handshake costs more than a small video's bytes.

Addresses are checked for every link all the same; a connection is used again only if its address is among them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

# Seconds after which an idle connection is not used again: servers close theirs after five and more.
_MAX_IDLE_SECONDS = 4.0

Key = tuple[object, ...]


class Dialed(Protocol):
    """A connection that knows the address it was dialed at."""

    address: str | None

    def close(self) -> None:
        """Close it."""


Kept = TypeVar("Kept", bound=Dialed)


class KeptConnections(Generic[Kept]):
    """Idle connections, by what they lead to; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Key, list[tuple[float, Kept]]] = {}

    def take(self, key: Key, addresses: Collection[str]) -> Kept | None:
        """Return an idle connection to one of the addresses, which is then no longer kept; ``None`` if there is none.

        :param key: what it has to lead to: scheme, host, port, proxy.
        """
        while True:
            with self._lock:
                idle = self._idle.get(key)
                if not idle:
                    return None
                since, connection = idle.pop()
            if time.monotonic() - since <= _MAX_IDLE_SECONDS and connection.address in addresses:
                return connection
            _close(connection)

    def put(self, key: Key, connection: Kept) -> None:
        """Keep a connection whose last response was read to its end."""
        with self._lock:
            self._idle.setdefault(key, []).append((time.monotonic(), connection))

    def close(self) -> None:
        """Close all."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for _, connection in connections:
                _close(connection)


def _close(connection: Dialed) -> None:
    with suppress(OSError):
        connection.close()
