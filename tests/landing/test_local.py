"""Naming a file on a local file system: whole, and only where nothing has that name."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from media_server import mp4
from publishing import BODY, ID, SHA, files_in, filled, local, publish, race

from airflow_provider_evolink.api.errors import FileConflictError, LandingError
from airflow_provider_evolink.landing.local import part_prefix, sweep
from airflow_provider_evolink.landing.storage import contains, generation_at


def test_spool_has_no_name(tmp_path: Path) -> None:
    """While a file is on its way, nothing of it can be seen at the destination."""
    with filled(local(tmp_path / "new")):
        assert files_in(tmp_path) == []


def no_link(*_: Any, **__: Any) -> None:
    """Fail as a network file system does."""
    raise OSError("not supported")


@pytest.fixture(params=["link", "copy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With and without a system that can name an open file (network file systems and macOS can't)."""
    if request.param == "copy":
        monkeypatch.setattr(os, "link", no_link)
    return str(request.param)


def test_local_file(tmp_path: Path, way: str) -> None:
    """A whole file gets its name in one step, in folders that are made for it, readable as any other file."""
    destination = local(tmp_path)
    target = destination / "task-1/0.mp4"
    with filled(destination) as spool:
        publish(spool, target, len(BODY))
    path = tmp_path / "task-1" / "0.mp4"
    assert path.read_bytes() == BODY
    assert files_in(tmp_path) == ["task-1/0.mp4"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert target.uri == f"file://{path}"
    assert contains(target, len(BODY), SHA)


def test_what_lies_there_stays(tmp_path: Path, way: str) -> None:
    """What lies there under the same name, a file, a folder or a link to nothing, is left alone, and that is told."""
    (tmp_path / "0.mp4").write_bytes(b"another's")
    (tmp_path / "1.mp4").mkdir()
    (tmp_path / "2.mp4").symlink_to("nowhere")
    for name in ("0.mp4", "1.mp4", "2.mp4"):
        with filled(local(tmp_path)) as spool, pytest.raises(FileConflictError, match=rf"lies at file:///.*{name}"):
            publish(spool, local(tmp_path) / name, len(BODY))
    assert files_in(tmp_path) == ["0.mp4"]
    assert (tmp_path / "0.mp4").read_bytes() == b"another's"


def test_local_file_is_replaced(tmp_path: Path, way: str) -> None:
    """Where that is wanted, the file takes the place of the one that lies there, and nothing else is left."""
    target = local(tmp_path) / "0.mp4"
    (tmp_path / "0.mp4").write_bytes(b"old")
    with filled(local(tmp_path)) as spool:
        publish(spool, target, len(BODY), replace=True)
    assert files_in(tmp_path) == ["0.mp4"]
    assert contains(target, len(BODY), SHA)


def test_what_a_killed_copy_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed landing of the same file has left is removed; what a running one writes is not."""
    monkeypatch.setattr(os, "link", no_link)
    target = local(tmp_path) / "0.mp4"
    prefix = part_prefix(tmp_path / "0.mp4")
    dead, alive = tmp_path / f"{prefix}dead.part", tmp_path / f"{prefix}alive.part"
    other = tmp_path / f"{part_prefix(tmp_path / '1.mp4')}dead.part"
    for part in (dead, alive, other):
        part.write_bytes(b"half")
    with alive.open("rb") as held, filled(local(tmp_path)) as spool:
        fcntl.flock(held, fcntl.LOCK_EX)
        publish(spool, target, len(BODY))
    assert files_in(tmp_path) == sorted([alive.name, other.name, "0.mp4"])


def test_what_is_about_to_replace_is_not_removed(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another landing that clears up at that moment can tell that this one runs."""
    replace = Path.replace

    def meet(part: Path, path: Path) -> Path:
        sweep(path)
        return replace(part, path)

    monkeypatch.setattr(Path, "replace", meet)
    with filled(local(tmp_path)) as spool:
        publish(spool, local(tmp_path) / "0.mp4", len(BODY), replace=True)
    assert files_in(tmp_path) == ["0.mp4"]


def test_disk_has_the_file_before_its_name(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's bytes are on the disk before it gets its name, and the name and the new folder before it is told."""
    done: list[int | str] = []

    def noting(name: str) -> Any:
        real = getattr(os, name)

        def call(*given: Any, **how: Any) -> Any:
            result = real(*given, **how)
            done.append(os.fstat(given[0]).st_ino if name == "fsync" else "name")
            return result

        return call

    for name in ("fsync", "rename", "link"):
        monkeypatch.setattr(os, name, noting(name))
    with filled(local(tmp_path)) as spool:
        publish(spool, local(tmp_path) / "new/0.mp4", len(BODY))
    folder, file = tmp_path / "new", tmp_path / "new/0.mp4"
    assert done[0] == tmp_path.stat().st_ino
    assert done[-3:] == [file.stat().st_ino, "name", folder.stat().st_ino]


@pytest.mark.parametrize("rounds", [150])
def test_two_landings_meet(tmp_path: Path, way: str, rounds: int) -> None:
    """Of two landings under one name, whenever they meet, one lands and the other is told; nothing is lost."""
    for number in range(rounds):
        folder = tmp_path / str(number)
        ends = race([mp4(5000, "a"), mp4(6000, "b")], [local(folder) / "video.mp4"] * 2)
        assert sorted(ends) == ["conflict", "landed"]
        winner = mp4(5000, "a") if ends[0] == "landed" else mp4(6000, "b")
        assert (folder / "video.mp4").read_bytes() == winner
        assert files_in(folder) == ["video.mp4"]


def test_replacing_landings_meet(tmp_path: Path, way: str) -> None:
    """Where replacing is wanted, either may be the last; the file is whole, and nothing lies beside it."""
    bodies = [mp4(5000, "a"), mp4(6000, "b")]
    for _ in range(20):
        assert race(bodies, [local(tmp_path) / "video.mp4"] * 2, replace=True) == ["landed"] * 2
        assert (tmp_path / "video.mp4").read_bytes() in bodies
        assert files_in(tmp_path) == ["video.mp4"]


def test_failure_leaves_nothing(tmp_path: Path, way: str) -> None:
    """If the name can't be given, nothing is left beside it."""
    (tmp_path / "0.mp4").mkdir()
    with (
        filled(local(tmp_path)) as spool,
        pytest.raises(LandingError, match=r"could not be written to file:///.*0\.mp4"),
    ):
        publish(spool, local(tmp_path) / "0.mp4", len(BODY), replace=True)
    assert files_in(tmp_path) == []


def test_generation_is_noted(tmp_path: Path, way: str) -> None:
    """A file says whose it is, where the file system keeps such; one of somebody else's does not."""
    target = local(tmp_path) / "0.mp4"
    with filled(local(tmp_path)) as spool:
        publish(spool, target, len(BODY))
    assert generation_at(target) == ID
    (tmp_path / "1.mp4").write_bytes(b"")
    assert generation_at(local(tmp_path) / "1.mp4") is None
    os.setxattr(tmp_path / "1.mp4", "user.evolink.generation_id", b"no id \xff")
    assert generation_at(local(tmp_path) / "1.mp4") is None


def test_same_size_is_not_the_same(tmp_path: Path) -> None:
    """A file is taken for the same only if its bytes are."""
    (tmp_path / "0.mp4").write_bytes(BODY[:-1] + b"x")
    assert not contains(local(tmp_path) / "0.mp4", len(BODY), SHA)
    assert not contains(local(tmp_path) / "1.mp4", len(BODY), SHA)
