# SPDX-License-Identifier: Apache-2.0
"""A file of this machine that is exchanged while it is looked up or sent does not lead elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_evolink.ui.file_systems import FileSystems
from airflow_provider_evolink.ui.roots import Location, NotShownError, Root
from airflow_provider_evolink.ui.stored_files import StorageError, open_file


@pytest.fixture
def location(tmp_path: Path) -> Location:
    """A file below a root, beside a secret folder."""
    for name, content in (("shown", b"shown"), ("secret", b"secret")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.mp4").write_bytes(content)
    return Location(Root("file", f"{tmp_path}/shown"), f"{tmp_path}/shown/0.mp4")


def test_a_link_in_place_of_the_file(location: Location, tmp_path: Path) -> None:
    """A file that became a link after it was looked at is not opened."""
    Path(location.path).unlink()
    Path(location.path).symlink_to(tmp_path / "secret/0.mp4")
    with pytest.raises(NotShownError):
        open_file(location, FileSystems())


def test_a_link_in_place_of_its_folder(location: Location, tmp_path: Path) -> None:
    """A file whose folder became a link after it was looked at is not read."""
    (tmp_path / "shown").rename(tmp_path / "gone")
    (tmp_path / "shown").symlink_to(tmp_path / "secret")
    with pytest.raises(NotShownError, match="exchanged"):
        open_file(location, FileSystems())


def test_a_pipe_in_place_of_the_file(location: Location) -> None:
    """A pipe, which would block its reader, is refused at once."""
    Path(location.path).unlink()
    os.mkfifo(location.path)
    with pytest.raises(NotShownError, match="exchanged"):
        open_file(location, FileSystems())


def test_what_was_opened_is_read(location: Location, tmp_path: Path) -> None:
    """A file that was exchanged after it was opened is read as it was; a later lookup finds the other."""
    file = open_file(location, FileSystems())
    Path(location.path).unlink()
    Path(location.path).symlink_to(tmp_path / "secret/0.mp4")
    assert file.read(1, 5) == b"hown"
    assert file.opened is not None
    assert Path(str(file.opened.path)).read_bytes() == b"shown"


def test_a_file_that_has_become_shorter(location: Location) -> None:
    """A file that was cut off while it is read ends in an error and not in less than was promised."""
    file = open_file(location, FileSystems())
    os.truncate(location.path, 2)
    with pytest.raises(StorageError, match="changed"):
        file.read(0, 5)


def test_files_are_closed(location: Location) -> None:
    """Files that nobody needs any more are closed."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        open_file(location, FileSystems())
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
