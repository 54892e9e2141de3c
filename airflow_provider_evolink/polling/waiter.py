# SPDX-License-Identifier: Apache-2.0
"""One generation that is waited for."""

from __future__ import annotations

import asyncio
import contextvars
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_evolink.polling.policy import Progress, StopPolling, Watch

if TYPE_CHECKING:
    from airflow_provider_evolink.polling.poll_loop import PollLoop

OnProgress = Callable[[str], None]

_ROUNDING = 1e-3


class Waiter:
    """
    A future that is fulfilled when the waiting ends, and what is known until then.

    :param watch: what is waited for.
    :param tell: is given a line whenever something has changed.
    """

    __slots__ = (
        "context",
        "future",
        "is_known_here",
        "is_last",
        "needs_own_request",
        "on_progress",
        "poll_loop",
        "polled_at",
        "progress",
        "tried",
        "watch",
    )

    def __init__(self, watch: Watch, on_progress: OnProgress) -> None:
        self.watch = watch
        self.on_progress = on_progress
        self.progress = Progress()
        self.future: asyncio.Future[StopPolling] = asyncio.get_running_loop().create_future()
        # The loop runs in no wait's context, and a line must come into the log of the wait that it is about.
        self.context = contextvars.copy_context()
        # Whether a batch has left it out, so that it is asked about by itself.
        self.needs_own_request = False
        # Whether its next question is the one at its deadline.
        self.is_last = False
        # When it was last asked about, by the monotonic clock; before that, when it was submitted.
        self.polled_at = time.monotonic() - max(time.time() - watch.submitted_at, 0.0)
        # Who asks about it, whether that account has known it, and which others have not.
        self.poll_loop: PollLoop | None = None
        self.is_known_here = False
        self.tried: tuple[PollLoop, ...] = ()

    @property
    def rank(self) -> float:
        """Those with one question left are first, then who was asked about longest ago."""
        return -math.inf if self.is_last else self.polled_at

    def schedule(self, delay: float) -> None:
        """Take note of when it is asked about next."""
        self.is_last = time.time() + delay >= self.watch.deadline - _ROUNDING

    def end(self, stop: StopPolling) -> None:
        """Fulfil the future, unless that has been done or nobody waits any more."""
        if not self.future.done():
            self.future.set_result(stop)

    def report(self, message: str) -> None:
        """Tell a line in the wait's own context."""
        with suppress(Exception):
            self.context.run(self.on_progress, message)
