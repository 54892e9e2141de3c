# SPDX-License-Identifier: Apache-2.0
"""One demo at a time per folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo.errors import NotStartedError
from demo.lock import exclusive


def test_a_second_demo_is_refused(tmp_path: Path) -> None:
    """The refusal names the first process, and the lock is free again afterwards."""
    with exclusive(tmp_path), pytest.raises(NotStartedError, match=str(os.getpid())), exclusive(tmp_path):
        pass
    with exclusive(tmp_path):
        pass


def test_a_stale_lock_file_blocks_nobody(tmp_path: Path) -> None:
    """A lock file without a live owner blocks nobody."""
    (tmp_path / "lock").write_text("12345")
    with exclusive(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
