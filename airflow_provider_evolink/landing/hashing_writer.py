# SPDX-License-Identifier: Apache-2.0
"""Write a file and hash it while it is downloaded, by double buffering.

The network fills one buffer while a thread writes and hashes the other; these two buffers are all the memory it takes.
Hashing costs about as much as downloading, and neither needs Python's global interpreter lock. A file that fits into
one buffer needs neither the other nor the thread.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Self

BUFFER_BYTES = 512 * 1024
# A server may send more than it has announced.
_LEAST_BUFFER_BYTES = 64 * 1024
_NO_BUFFER = memoryview(b"")


class HashingWriter:
    """Write to a file by way of two buffers.

    Read into :attr:`free`, then pass the number of bytes to :meth:`commit`. Committed bytes are in the file once
    :meth:`flush` has returned. All methods raise, late, what the file's ``write`` raises.

    :param file: empty, open for writing; nobody else may touch it before :meth:`flush`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._front = self._back = _NO_BUFFER
        self._buffer_bytes = BUFFER_BYTES
        self._filled = 0
        self._thread: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.shutdown()

    @property
    def free(self) -> memoryview:
        """The free part of the front buffer; never empty."""
        self._front = self._front or self._new_buffer()
        return self._front[self._filled :]

    def commit(self, count: int) -> None:
        """Keep the first bytes of :attr:`free`.

        :param count: how many.
        """
        self._filled += count
        if self._filled == len(self._front):
            self._swap_buffers()

    def flush(self) -> None:
        """Wait until everything is written and hashed."""
        self._wait()
        filled, self._filled = self._filled, 0
        if filled:
            self._write(self._front[:filled])

    def reset(self, size: int | None = None) -> None:
        """Discard everything, the file's content too.

        :param size: bytes that are expected now; ``None`` = unknown. Buffers above 64 KiB are no larger than
            that many need.
        """
        self.flush()
        if self._file.tell():
            self._file.seek(0)
            self._file.truncate()
            self._digest = hashlib.sha256()
        self._front = self._back = _NO_BUFFER
        # With a byte to spare, since a full buffer is left to the thread.
        needed = BUFFER_BYTES if size is None else size + 1
        self._buffer_bytes = min(max(needed, _LEAST_BUFFER_BYTES), BUFFER_BYTES)

    def finish(self) -> str:
        """Return the SHA-256 of the whole file, in hexadecimal, once it is written."""
        self.flush()
        self._file.flush()
        return self._digest.hexdigest()

    def _swap_buffers(self) -> None:
        self._wait()
        self._thread = self._thread or ThreadPoolExecutor(1, "evolink-landing")
        self._pending = self._thread.submit(self._write, self._front[: self._filled])
        self._front, self._back, self._filled = self._back or self._new_buffer(), self._front, 0

    def _new_buffer(self) -> memoryview:
        return memoryview(bytearray(self._buffer_bytes))

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, data: memoryview) -> None:
        self._file.write(data)
        self._digest.update(data)
