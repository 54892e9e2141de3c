from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo.errors import NotStartedError
from demo.lock import only_one


def test_a_second_demo_is_refused(tmp_path: Path) -> None:
    """Who comes second learns which process was first, and the lock is free again afterwards."""
    with only_one(tmp_path), pytest.raises(NotStartedError, match=str(os.getpid())), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_what_a_killed_demo_left_is_no_obstacle(tmp_path: Path) -> None:
    """A lock file without a living owner holds nobody up."""
    (tmp_path / "lock").write_text("12345")
    with only_one(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
