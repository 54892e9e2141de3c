# SPDX-License-Identifier: Apache-2.0
"""Publishing on a local file system: only complete files, and never over another file."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import FileConflictError, LandingError
from airflow_provider_evolink.landing.local import part_prefix, remove_leftovers
from airflow_provider_evolink.landing.storage import contains, stored_generation_id
from tests.landing.media_server import mp4
from tests.landing.publishing import BODY, ID, SHA, files_in, local, publish, race, staged


def test_staging_file_has_no_name(tmp_path: Path) -> None:
    """While a file is being downloaded, nothing of it is visible at the destination."""
    with staged(local(tmp_path / "new")):
        assert files_in(tmp_path) == []


def link_unsupported(*_: Any, **__: Any) -> None:
    """Fail as on a network file system."""
    raise OSError("not supported")


@pytest.fixture(params=["link", "copy"])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Publish with and without support for linking an open file (network file systems and macOS have none)."""
    if request.param == "copy":
        monkeypatch.setattr(os, "link", link_unsupported)
    return str(request.param)


def test_local_file(tmp_path: Path, method: str) -> None:
    """A complete file gets its name in one step, in folders created for it, with the usual permissions."""
    destination = local(tmp_path)
    target = destination / "task-1/0.mp4"
    with staged(destination) as staging_file:
        publish(staging_file, target, len(BODY))
    path = tmp_path / "task-1" / "0.mp4"
    assert path.read_bytes() == BODY
    assert files_in(tmp_path) == ["task-1/0.mp4"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert target.uri == f"file://{path}"
    assert contains(target, len(BODY), SHA)


def test_existing_file_is_left_alone(tmp_path: Path, method: str) -> None:
    """An existing file, folder or dangling symlink of the same name is left alone and reported."""
    (tmp_path / "0.mp4").write_bytes(b"another's")
    (tmp_path / "1.mp4").mkdir()
    (tmp_path / "2.mp4").symlink_to("nowhere")
    for name in ("0.mp4", "1.mp4", "2.mp4"):
        with staged(local(tmp_path)) as staging_file, pytest.raises(FileConflictError, match=rf"file:///.*{name}"):
            publish(staging_file, local(tmp_path) / name, len(BODY))
    assert files_in(tmp_path) == ["0.mp4"]
    assert (tmp_path / "0.mp4").read_bytes() == b"another's"


def test_local_file_is_replaced(tmp_path: Path, method: str) -> None:
    """With ``replace`` the file replaces the existing one, and nothing else is left."""
    target = local(tmp_path) / "0.mp4"
    (tmp_path / "0.mp4").write_bytes(b"old")
    with staged(local(tmp_path)) as staging_file:
        publish(staging_file, target, len(BODY), replace=True)
    assert files_in(tmp_path) == ["0.mp4"]
    assert contains(target, len(BODY), SHA)


def test_leftovers_of_killed_landings_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary file of a killed landing of the same file is removed; one of a running landing is not."""
    monkeypatch.setattr(os, "link", link_unsupported)
    target = local(tmp_path) / "0.mp4"
    prefix = part_prefix(tmp_path / "0.mp4")
    dead, alive = tmp_path / f"{prefix}dead.part", tmp_path / f"{prefix}alive.part"
    other = tmp_path / f"{part_prefix(tmp_path / '1.mp4')}dead.part"
    for part in (dead, alive, other):
        part.write_bytes(b"half")
    with alive.open("rb") as held, staged(local(tmp_path)) as staging_file:
        fcntl.flock(held, fcntl.LOCK_EX)
        publish(staging_file, target, len(BODY))
    assert files_in(tmp_path) == sorted([alive.name, other.name, "0.mp4"])


def test_file_about_to_replace_is_not_removed(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another landing that removes leftovers at that moment recognizes that this one is running."""
    replace = Path.replace

    def clean_up_and_replace(part: Path, path: Path) -> Path:
        remove_leftovers(path)
        return replace(part, path)

    monkeypatch.setattr(Path, "replace", clean_up_and_replace)
    with staged(local(tmp_path)) as staging_file:
        publish(staging_file, local(tmp_path) / "0.mp4", len(BODY), replace=True)
    assert files_in(tmp_path) == ["0.mp4"]


def test_file_is_on_disk_before_its_name(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are on the disk before the name, and the name and the new folder before publishing returns."""
    events: list[int | str] = []

    def recording(name: str) -> Any:
        original = getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            result = original(*args, **options)
            events.append(os.fstat(args[0]).st_ino if name == "fsync" else "name")
            return result

        return call

    for name in ("fsync", "rename", "link"):
        monkeypatch.setattr(os, name, recording(name))
    with staged(local(tmp_path)) as staging_file:
        publish(staging_file, local(tmp_path) / "new/0.mp4", len(BODY))
    folder, file = tmp_path / "new", tmp_path / "new/0.mp4"
    assert events[0] == tmp_path.stat().st_ino
    assert events[-3:] == [file.stat().st_ino, "name", folder.stat().st_ino]


@pytest.mark.parametrize("rounds", [150])
def test_concurrent_landings(tmp_path: Path, method: str, rounds: int) -> None:
    """Of two concurrent landings of the same name one lands, the other gets a conflict, and nothing is lost."""
    for number in range(rounds):
        folder = tmp_path / str(number)
        outcomes = race([mp4(5000, "a"), mp4(6000, "b")], [local(folder) / "video.mp4"] * 2)
        assert sorted(outcomes) == ["conflict", "landed"]
        winner = mp4(5000, "a") if outcomes[0] == "landed" else mp4(6000, "b")
        assert (folder / "video.mp4").read_bytes() == winner
        assert files_in(folder) == ["video.mp4"]


def test_concurrent_replacing_landings(tmp_path: Path, method: str) -> None:
    """With ``replace`` either may be the last; the file is complete, and nothing is left beside it."""
    bodies = [mp4(5000, "a"), mp4(6000, "b")]
    for _ in range(20):
        assert race(bodies, [local(tmp_path) / "video.mp4"] * 2, replace=True) == ["landed"] * 2
        assert (tmp_path / "video.mp4").read_bytes() in bodies
        assert files_in(tmp_path) == ["video.mp4"]


def test_failure_leaves_nothing(tmp_path: Path, method: str) -> None:
    """If publishing fails, nothing is left."""
    (tmp_path / "0.mp4").mkdir()
    with (
        staged(local(tmp_path)) as staging_file,
        pytest.raises(LandingError, match=r"file:///.*0\.mp4"),
    ):
        publish(staging_file, local(tmp_path) / "0.mp4", len(BODY), replace=True)
    assert files_in(tmp_path) == []


def test_generation_id_is_stored(tmp_path: Path, method: str) -> None:
    """The generation id is stored with the file, if the file system supports it; a foreign file has none."""
    target = local(tmp_path) / "0.mp4"
    with staged(local(tmp_path)) as staging_file:
        publish(staging_file, target, len(BODY))
    assert stored_generation_id(target) == ID
    (tmp_path / "1.mp4").write_bytes(b"")
    assert stored_generation_id(local(tmp_path) / "1.mp4") is None
    os.setxattr(tmp_path / "1.mp4", "user.evolink.generation_id", b"no id \xff")
    assert stored_generation_id(local(tmp_path) / "1.mp4") is None


def test_same_size_is_not_enough(tmp_path: Path) -> None:
    """A file is considered the same only if its bytes are."""
    (tmp_path / "0.mp4").write_bytes(BODY[:-1] + b"x")
    assert not contains(local(tmp_path) / "0.mp4", len(BODY), SHA)
    assert not contains(local(tmp_path) / "1.mp4", len(BODY), SHA)
