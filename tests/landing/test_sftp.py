# SPDX-License-Identifier: Apache-2.0
"""Landing on an SFTP server whose connection is cut, with a worker that is killed, and at the same moment as others."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_evolink.api.errors import LandingError
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.landing.filenames import Result
from testkit.sftp import Sftp
from tests.landing.media_server import MediaServer, mp4
from tests.landing.publishing import ID, MIB, FakeStore, files_in, race
from tests.landing.test_object_storage import content, file_of, lander, process
from tests.object_stores import ObjectStore

BODY = mp4(16 * MIB)
NAME = f"{ID}/0.mp4"
DAY = 24 * 60 * 60


@pytest.fixture
def server(sftp: Sftp) -> Iterator[Sftp]:
    """A server whose requests can be made to fail."""
    reconnect()
    yield sftp
    sftp.failure.set(None)
    sftp.failure.extensions = True


def reconnect() -> None:
    """Forget the connections of this process, as the next one has none; a connection that is cut stays cut."""
    from sshfs import SSHFileSystem

    SSHFileSystem.clear_instance_cache()


@pytest.fixture
def storage(server: Sftp, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """Destinations on it."""
    return ObjectStore("sftp", server, monkeypatch)


def folder_of(server: Sftp, name: str) -> Path:
    """Return a folder of the server, on this machine."""
    return server.folder / name


@pytest.mark.parametrize(
    ("request_name", "passing", "how"),
    [
        ("open", 0, "cut"),
        ("write", 0, "cut"),
        ("write", 40, "cut"),
        ("close", 0, "cut"),
        ("rename", 0, "cut"),
        ("rename", 0, "cut after it"),
    ],
)
def test_a_connection_that_is_cut(
    server: Sftp, storage: ObjectStore, media: MediaServer, request_name: str, passing: int, how: str
) -> None:
    """At whichever request the connection is cut, no partial file has the name, and the next attempt lands it."""
    case = f"{request_name}_{passing}_{how.replace(' ', '_')}"
    store, result = FakeStore(), Result(ID, 0, media.serve("/0", body=BODY))
    destination = storage.destination(case, case)
    server.failure.set(request_name, passing, how)
    with pytest.raises(LandingError, match="A retry lands it again, at no cost"):
        lander(destination, store).land(result)
    assert server.failure.reached.is_set()
    assert (folder_of(server, case) / NAME).exists() == (how == "cut after it")

    server.failure.set(None)
    reconnect()
    again = storage.destination(case, f"{case}_again")
    landed = lander(again, store).land(result)
    assert landed is not None
    assert content(file_of(again)) == BODY


@pytest.mark.parametrize(("request_name", "passing"), [("write", 40), ("rename", 0)])
def test_a_killed_landing(
    server: Sftp, storage: ObjectStore, media: MediaServer, request_name: str, passing: int
) -> None:
    """A worker that is killed leaves a temporary file, which a later landing of the same file removes after a day."""
    case = f"killed_{request_name}"
    link = media.serve("/0", body=BODY)
    destination = storage.destination(case, case)
    server.failure.set(request_name, passing, "stall")
    with process(destination, link) as worker:
        assert server.failure.reached.wait(120)
        worker.kill()
    server.failure.set(None)
    folder = folder_of(server, case)
    [leftover] = files_in(folder)
    assert re.fullmatch(rf"{ID}/\.\S+\.part", leftover)

    result = Result(ID, 0, link)
    lander(destination).land(result)
    assert content(file_of(destination)) == BODY
    assert files_in(folder) == [leftover, NAME]
    yesterday = time.time() - DAY - 60
    os.utime(folder / leftover, (yesterday, yesterday))
    (folder / NAME).unlink()
    lander(destination).land(result)
    assert files_in(folder) == [NAME]


@pytest.mark.parametrize("size", [5000, 6 * MIB])
def test_eight_at_once(storage: ObjectStore, size: int) -> None:
    """Of eight that land under one name at the same time one lands, and the others learn that the name is taken."""
    bodies = [mp4(size, str(number)) for number in range(8)]
    destination = storage.destination(f"race_{size}")
    for number in range(3):
        file = file_of(destination, f"{number}.mp4")
        outcomes = race(bodies, [file] * 8)
        assert sorted(outcomes) == ["conflict"] * 7 + ["landed"]
        assert content(file) == bodies[outcomes.index("landed")]
    assert len(files_in(folder_of(storage.server, f"race_{size}"))) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("existing", [None, b"another's"])
def test_a_server_without_extensions(
    server: Sftp, storage: ObjectStore, media: MediaServer, existing: bytes | None
) -> None:
    """A server that renames over nothing lands a file, and replaces one, all the same: without a shell there."""
    server.failure.extensions = False
    case = f"plain_{existing is not None}"
    path = folder_of(server, case) / NAME
    if existing is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(existing)
    how = OnExisting.FAIL if existing is None else OnExisting.REPLACE
    lander(storage.destination(case), on_existing=how).land(Result(ID, 0, media.serve("/0", body=BODY)))
    assert path.read_bytes() == BODY
    assert files_in(folder_of(server, case)) == [NAME]
