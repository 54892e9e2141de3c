# SPDX-License-Identifier: Apache-2.0
"""The storages that tests run on: S3, Azure Blob Storage, Google Cloud Storage and SFTP, through connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from testkit.azure import Azure
from testkit.gcs import Gcs
from testkit.s3 import S3
from testkit.sftp import Sftp
from tests.landing.gateway import GcsGateway, gateway_to

BUCKET = "videos"
SCHEMES = {"s3": "s3", "azure": "abfs", "gcs": "gs", "sftp": "sftp"}
# The request by which a folder is listed.
LISTING = {"s3": ("GET", "list-type"), "azure": ("GET", "comp=list"), "gcs": ("GET", "/o?")}
# The server sends the checksum of the whole object with a part of it.
WHEN_REQUIRED = {"response_checksum_validation": "when_required"}
# Without the client's own repetitions, which take up to a minute.
_CONFIG = {"retries": {"max_attempts": 0}, **WHEN_REQUIRED}


@dataclass(frozen=True)
class ObjectStore:
    """A running storage with the bucket ``videos``; an SFTP server has no buckets.

    :param name: ``s3``, ``azure``, ``gcs`` or ``sftp``.
    :param server: the server itself.
    :param patch: defines the connections.
    """

    name: str
    server: S3 | Azure | Gcs | Sftp
    patch: pytest.MonkeyPatch

    @property
    def scheme(self) -> str:
        """The scheme of its URIs."""
        return SCHEMES[self.name]

    def uri(self, path: str) -> str:
        """Return the URI that a file at a path of the bucket has in messages and records."""
        return f"{self.scheme}://{'' if self.name == 'sftp' else BUCKET}/{path}"

    def destination(
        self,
        folder: str = "",
        conn_id: str = "store",
        *,
        bucket: str = BUCKET,
        url: str | None = None,
        wrong: bool = False,
    ) -> str:
        """Define a connection, and return a folder of the storage with it.

        :param conn_id: Airflow keeps a file system for each, so a connection with other content needs another id.
        :param url: of a gateway in front of the server; None for the server itself.
        :param wrong: use credentials that the storage does not accept.
        """
        conn_id = f"{self.name}_{conn_id}"
        self.patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", self.connection(url=url, wrong=wrong))
        return f"{self.scheme}://{conn_id}@{bucket}/{folder}"

    def connection(self, *, url: str | None = None, wrong: bool = False) -> str:
        """Return a connection, as JSON."""
        if isinstance(self.server, S3):
            text = self.server.connection_with(endpoint_url=url or self.server.url, config_kwargs=_CONFIG)
            return json.dumps(json.loads(text) | ({"password": "wrong"} if wrong else {}))
        if isinstance(self.server, Azure):
            return self.server.connection_with(url=url, **({"key": "d3Jvbmc="} if wrong else {}))
        if isinstance(self.server, Sftp):
            return self.server.connection_with(**({"password": "wrong"} if wrong else {}))
        return self.server.connection_with(url=url, **({"key_id": "wrong"} if wrong else {}))

    @contextmanager
    def gateway(self) -> Iterator[Any]:
        """Run a reverse proxy in front of the storage that can refuse, cut or stall requests."""
        assert not isinstance(self.server, Sftp)
        with gateway_to(self.server.url, *([GcsGateway] if self.name == "gcs" else [])) as gateway:
            yield gateway
