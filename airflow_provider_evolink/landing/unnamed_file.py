# SPDX-License-Identifier: Apache-2.0
"""
A file that is on its way to the disk while it still comes.

A file may only get its final name once the disk has it (fsync), or a power cut could leave a half one under that name.
Told early, the disk works while the network does, and there is next to nothing to wait for in the end.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import Any, BinaryIO, cast

_STEP_BYTES = 4 * 1024 * 1024


def open_unnamed(folder: str) -> BinaryIO:
    """
    Open an empty file without a name on the folder's file system, which vanishes unless it is given one.

    :raises OSError, AttributeError: this system can't.
    """
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
    return cast(BinaryIO, io.BufferedRandom(_Eager(descriptor, "w+b")))


class _Eager(io.FileIO):
    _unsent = 0

    def write(self, data: Any, /) -> int:
        count = super().write(data)
        self._unsent += count
        if self._unsent >= _STEP_BYTES:
            self._send()
        return count

    def _send(self) -> None:
        """Begin to write back, and don't wait: what is not on the disk yet is not forgotten by this either."""
        start, self._unsent = max(self.tell() - self._unsent, 0), 0
        with suppress(OSError):
            os.posix_fadvise(self.fileno(), start, 0, os.POSIX_FADV_DONTNEED)
