# SPDX-License-Identifier: Apache-2.0
"""Stopping on request without leaving anything half done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns the signals that ask a program to stop into one ``KeyboardInterrupt``, at a moment that can take it."""

    def __init__(self) -> None:
        self._holders = 0
        self._pending = False
        self._raised = False

    def install(self) -> None:
        """Take the signals over, also where the shell had them ignored (``make demo &``)."""
        for number in _SIGNALS:
            signal.signal(number, self._receive)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let signals wait until the block is through."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            self._deliver()

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self._pending = True
        self._deliver()

    def _deliver(self) -> None:
        """Raise once; who asks again while everything is being stopped has been heard."""
        if self._pending and not self._holders and not self._raised:
            self._raised = True
            raise KeyboardInterrupt


interrupts = Interrupts()
