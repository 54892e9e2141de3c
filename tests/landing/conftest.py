from __future__ import annotations

import importlib.util
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from testkit.certificates import issue_certificate


def _load(name: str) -> ModuleType:
    """Load a module of this folder by its path, since test folders are not packages."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


for support in ("media_server", "real_media", "publishing", "downloading", "gateway"):
    _load(support)
from media_server import MediaServer  # noqa: E402 - just loaded
from publishing import FakeStore  # noqa: E402


@pytest.fixture
def media() -> Iterator[MediaServer]:
    """A media host for one test."""
    server = MediaServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for media.example.com, with its private key."""
    return issue_certificate("media.example.com", tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure_media(authority: Path) -> Iterator[MediaServer]:
    """A media host for one test, with TLS, as media.example.com."""
    server = MediaServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    yield server
    server.close()


@pytest.fixture
def store() -> FakeStore:
    """A task state store in memory."""
    return FakeStore()
