# SPDX-License-Identifier: Apache-2.0
"""Readers that stall, and large files, cost the api-server neither threads nor memory."""

from __future__ import annotations

import socket
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from airflow_provider_evolink.links import addresses
from testkit.s3 import BUCKET, S3
from tests.ui.airflow_ui import RUN_ID, AirflowUi, add_task_instance, token
from tests.ui.auth_manager import GUEST, OWN_DAG
from tests.ui.landed import landed, record
from tests.ui.test_serving import WHEN_REQUIRED

MIB = 2**20
SIZE = 48 * MIB
READERS = 50
VIDEO = addresses.file(OWN_DAG, RUN_ID, "land")


@pytest.fixture(params=["local", "s3"])
def large_file(request: pytest.FixtureRequest, ui: AirflowUi, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A landed file that no socket's buffer holds, on this machine or in S3."""
    with (videos / "large.mp4").open("wb") as stream:
        stream.truncate(SIZE)
    file = {**landed(Path("/none"), uri=f"file://{videos}/large.mp4"), "bytes": SIZE}
    if request.param == "s3":
        server: S3 = request.getfixturevalue("s3")
        server.file_system().put_file(f"{videos}/large.mp4", f"{BUCKET}/shown/large.mp4")
        monkeypatch.setenv("AIRFLOW_CONN_GALLERY", server.connection_with(config_kwargs=WHEN_REQUIRED))
        monkeypatch.setenv("AIRFLOW__EVOLINK__GALLERY_ROOTS", f"s3://gallery@{BUCKET}/shown")
        file["uri"] = f"s3://{BUCKET}/shown/large.mp4"
    add_task_instance(return_value=record(file))


@pytest.fixture
def stalled(ui: AirflowUi, large_file: None) -> Iterator[list[socket.socket]]:
    """Fifty readers that have asked for the file, have read its headers, and read nothing more."""
    url = urlsplit(ui.url)
    request = f"GET {url.path}{VIDEO} HTTP/1.1\r\nHost: {url.netloc}\r\nCookie: _token={token(GUEST)}\r\n\r\n"
    with ExitStack() as stack:
        readers = [stack.enter_context(_reader(str(url.hostname), url.port or 0)) for _ in range(READERS)]
        for reader in readers:
            reader.sendall(request.encode())
        for reader in readers:
            assert reader.recv(12) == b"HTTP/1.1 200"
        time.sleep(1)  # until every buffer between the server and the readers is full
        yield readers


def _reader(host: str, port: int) -> socket.socket:
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(60)
    reader.connect((host, port))
    return reader


def test_readers_that_stall_hold_up_nobody(stalled: list[socket.socket], guest: httpx.Client) -> None:
    """While fifty readers stall, lists and parts of files come as ever, and a reader that resumes gets its file."""
    begun = time.monotonic()
    for _ in range(5):
        assert guest.get(addresses.entries(OWN_DAG, RUN_ID)).json()["entries"]
        assert len(guest.get(VIDEO, headers={"Range": f"bytes=0-{MIB - 1}"}).content) == MIB
    assert time.monotonic() - begun < 30
    received = 0
    while received < 2 * MIB:
        received += len(stalled[0].recv(65536))


@pytest.mark.usefixtures("large_file")
def test_a_large_file_passes_through_little_memory(guest: httpx.Client) -> None:
    """A file of 48 MiB is sent through less than 8 MiB of memory."""
    guest.head(VIDEO)
    tracemalloc.start()
    try:
        with guest.stream("GET", VIDEO) as response:
            received = sum(len(part) for part in response.iter_raw(65536))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received == SIZE
    assert peak < 8 * MIB
