# SPDX-License-Identifier: Apache-2.0
"""A file without a name (``O_TMPFILE``) that is written back to disk while it is still being downloaded.

A file may only get its final name once it is on the disk (fsync); otherwise a power failure could leave a partial file
under that name. Started early, the disk works while the network does, and the final fsync has almost nothing to do.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import Any, BinaryIO, cast

_STEP_BYTES = 4 * 1024 * 1024


def open_unnamed(folder: str) -> BinaryIO:
    """Open an empty file without a name on the folder's file system; it disappears unless it is given one.

    :raises OSError, AttributeError: this system does not support it.
    """
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
    return cast(BinaryIO, io.BufferedRandom(_EagerFile(descriptor, "w+b")))


class _EagerFile(io.FileIO):
    _unwritten = 0

    def write(self, data: Any, /) -> int:
        count = super().write(data)
        self._unwritten += count
        if self._unwritten >= _STEP_BYTES:
            self._start_writeback()
        return count

    def _start_writeback(self) -> None:
        """Start writing back without waiting for it; pages that are not on the disk yet stay cached."""
        start, self._unwritten = max(self.tell() - self._unwritten, 0), 0
        with suppress(OSError):
            os.posix_fadvise(self.fileno(), start, 0, os.POSIX_FADV_DONTNEED)
