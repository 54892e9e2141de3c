# SPDX-License-Identifier: Apache-2.0
"""
Writes a file and hashes it beside the network: a thread does both with one piece while the next one comes.

Two pieces are all the memory it takes. Hashing costs about as much as fetching, and neither needs Python's lock.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import BinaryIO, Self

PIECE_BYTES = 512 * 1024


class HashingWriter:
    """
    A spool that is filled by way of a buffer.

    Whoever fills it asks for :attr:`free` memory, puts bytes there and tells how many with :meth:`took`. What took()
    was told is in the spool once :meth:`settle` has returned. All but ``free`` raise what the spool's ``write``
    raises, late.

    :param spool: open for writing; not to be touched by others before :meth:`settle`.
    """

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = spool
        self._hash = hashlib.sha256()
        self._now, self._next = (memoryview(bytearray(PIECE_BYTES)) for _ in range(2))
        self._filled = 0
        self._stack = ExitStack()
        self._thread = self._stack.enter_context(ThreadPoolExecutor(1, "evolink-landing"))
        self._work: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def free(self) -> memoryview:
        """Where the next bytes go; never empty."""
        return self._now[self._filled :]

    def took(self, count: int) -> None:
        """Take over so many bytes of what was free."""
        self._filled += count
        if self._filled == PIECE_BYTES:
            self._hand_over()

    def settle(self) -> None:
        """Wait until everything is written and hashed."""
        if self._filled:
            self._hand_over()
        self._wait()

    def restart(self) -> None:
        """Forget everything."""
        self.settle()
        self._spool.seek(0)
        self._spool.truncate()
        self._hash = hashlib.sha256()

    def finish(self) -> str:
        """Return the SHA-256 of the whole, in hexadecimal."""
        self.settle()
        self._spool.flush()
        return self._hash.hexdigest()

    def _hand_over(self) -> None:
        self._wait()
        self._work = self._thread.submit(self._keep, self._now[: self._filled])
        self._now, self._next, self._filled = self._next, self._now, 0

    def _wait(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            work.result()

    def _keep(self, piece: memoryview) -> None:
        self._spool.write(piece)
        self._hash.update(piece)
