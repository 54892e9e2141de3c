# SPDX-License-Identifier: Apache-2.0
"""A real server of Azure Blob Storage's API (Azurite, Microsoft's own) on this machine."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testkit.environment import free_port
from testkit.errors import ServiceError
from testkit.local_server import running

CONTAINER = "videos"
_ACCOUNT = "landing"
_KEY = base64.b64encode(b"of a server that lives for one test run").decode()


@dataclass(frozen=True)
class Azure:
    """A running server.

    :param url: of its account.
    """

    url: str

    def connection_with(self, *, url: str | None = None, key: str = _KEY) -> str:
        """Return an Airflow connection to it, as JSON.

        :param url: of a gateway in front of the server; None for the server itself.
        :param key: of the account, in Base64.
        """
        protocol = "DefaultEndpointsProtocol=http"
        endpoint = f"BlobEndpoint={url or self.url}/{_ACCOUNT}"
        text = f"{protocol};AccountName={_ACCOUNT};AccountKey={key};{endpoint};"
        return json.dumps({"conn_type": "wasb", "extra": {"connection_string": text}})


class AzuriteMissingError(ServiceError):
    """Azurite is not installed."""


@contextmanager
def azure_server(folder: Path) -> Iterator[Azure]:
    """Run a server with an empty container as long as the context lasts.

    :param folder: for its blobs.
    :raises AzuriteMissingError: Azurite, or Node.js, is not installed.
    :raises ServiceError: it did not start.
    """
    port = free_port()
    server = Azure(f"http://127.0.0.1:{port}")
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
    # Azurite may be older than what the newest client speaks, and would send its maker what it is used for.
    switches = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    env = {**os.environ, "AZURITE_ACCOUNTS": f"{_ACCOUNT}:{_KEY}"}
    with running("Azure", [_azurite(), *options, *switches], server.url, env):
        _create_container(server)
        yield server


def _azurite() -> str:
    """Return the program, of this environment or of the machine."""
    own = Path(sys.prefix) / "node_modules" / ".bin"
    program = shutil.which("azurite-blob", path=f"{own}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if program is None or shutil.which("node") is None:
        raise AzuriteMissingError("Azurite is not installed: where there is npm, `make test-clouds` adds it.")
    return program


def _create_container(server: Azure) -> None:
    from azure.storage.blob import BlobServiceClient

    text: Any = json.loads(server.connection_with())["extra"]["connection_string"]
    with BlobServiceClient.from_connection_string(text) as client:
        client.create_container(CONTAINER)
