# SPDX-License-Identifier: Apache-2.0
"""Stop on a signal without leaving anything half done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turn the signals that stop a program into one ``KeyboardInterrupt``, raised at a moment that can take it."""

    def __init__(self) -> None:
        self._holders = 0
        self._pending = False
        self._raised = False

    def install(self) -> None:
        """Handle the signals, even where the shell had them ignored (``make demo &``)."""
        for number in _SIGNALS:
            signal.signal(number, self._receive)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Defer signals until the block has finished."""
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
        """Raise once; a second signal while everything is being stopped changes nothing."""
        if self._pending and not self._holders and not self._raised:
            self._raised = True
            raise KeyboardInterrupt


interrupts = Interrupts()
