# SPDX-License-Identifier: Apache-2.0
"""Media hosts and stores for one test."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit.certificates import issue_certificate
from tests.landing.media_server import MediaServer
from tests.landing.publishing import FakeStore


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
