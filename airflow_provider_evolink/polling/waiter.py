# SPDX-License-Identifier: Apache-2.0
"""One wait for one generation."""

from __future__ import annotations

import asyncio
import contextvars
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from airflow_provider_evolink.polling.policy import Progress, StopPolling, Watch

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation

OnProgress = Callable[[str], None]

_EPSILON = 1e-3


class Owner(Protocol):
    """The poll loop that a waiter belongs to."""

    def discard(self, waiter: Waiter) -> None:
        """Stop polling for it."""

    async def read(self, generation_id: str) -> Generation:
        """Read a generation on its own."""


class Waiter:
    """The future of one wait, and what is known until it ends.

    :param watch: the generation, and how to wait for it.
    :param on_progress: called with a line for the log whenever there is something to report; ``None`` = never.
    """

    __slots__ = (
        "context",
        "future",
        "is_known_here",
        "is_last_poll",
        "needs_own_request",
        "on_progress",
        "poll_loop",
        "polled_at",
        "progress",
        "tried_loops",
        "watch",
    )

    def __init__(self, watch: Watch, on_progress: OnProgress | None) -> None:
        self.watch = watch
        self.on_progress = on_progress
        self.progress = Progress()
        self.future: asyncio.Future[StopPolling] = asyncio.get_running_loop().create_future()
        # The poll loop runs in a context of its own, and a line has to reach the log of the wait that it belongs to.
        self.context = contextvars.copy_context()
        # Whether a batch has left the generation out, so that it is read on its own.
        self.needs_own_request = False
        # Whether the next poll is the one at the deadline.
        self.is_last_poll = False
        # The time of the last poll on the monotonic clock; before that, of the submission.
        self.polled_at = time.monotonic() - max(time.time() - watch.submitted_at, 0.0)
        # Which loop polls the generation, whether that loop's account has known it, and which loops were left.
        self.poll_loop: Owner | None = None
        self.is_known_here = False
        self.tried_loops: tuple[Owner, ...] = ()

    @property
    def rank(self) -> float:
        """The priority: last polls come first, then whichever generation was polled longest ago."""
        return -math.inf if self.is_last_poll else self.polled_at

    def schedule(self, delay: float) -> None:
        """Note that the next poll is ``delay`` seconds from now."""
        self.is_last_poll = time.time() + delay >= self.watch.deadline - _EPSILON

    def end(self, stop: StopPolling) -> None:
        """Set the result, unless there is one already or the wait was cancelled."""
        if not self.future.done():
            self.future.set_result(stop)

    def report(self, message: str) -> None:
        """Report progress in the wait's own context."""
        if self.on_progress is not None:
            with suppress(Exception):
                self.context.run(self.on_progress, message)
