# SPDX-License-Identifier: Apache-2.0
"""One demo at a time per folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.errors import NotStartedError


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which the kernel releases however this process ends.

    :raises NotStartedError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            owner = lock.read().strip()
            raise NotStartedError(f"Another demo is running in this folder, as process {owner}.") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
