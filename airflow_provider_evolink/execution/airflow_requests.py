# SPDX-License-Identifier: Apache-2.0
"""Ask Airflow for one thing at a time: ``dag.test()`` mixes up the requests of threads that ask at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.api.event_loop import is_loop_running

_one_request = threading.RLock()


@contextmanager
def one_airflow_request() -> Iterator[None]:
    """Wait until no other thread asks Airflow for something.

    The thread of an event loop never waits here: another one may wait for that loop meanwhile.
    """
    if is_loop_running():
        yield
        return
    with _one_request:
        yield


@dataclass(frozen=True, slots=True)
class OneAtATime:
    """A state store that several threads may use.

    :param store: Airflow's.
    """

    store: Any

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a store key."""
        with one_airflow_request():
            return self.store.get(key, default)

    def set(self, key: str, value: Any, **options: Any) -> None:
        """Store a value."""
        with one_airflow_request():
            self.store.set(key, value, **options)
