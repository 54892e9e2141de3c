# SPDX-License-Identifier: Apache-2.0
"""Which certificates are trusted, and the error for one that is not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.transports.aiohttp_transport import AiohttpTransport
from airflow_provider_evolink.api.transports.httpx_transport import HttpxTransport
from airflow_provider_evolink.api.transports.tls import tls_context
from testkit.certificates import issue_certificate
from tests.api.calls import CREDITS
from tests.loopback import Loopback, always, serving, settings_for

TRANSPORTS = pytest.mark.parametrize("transport_class", [HttpxTransport, AiohttpTransport], ids=["httpx", "aiohttp"])


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of this machine."""
    return issue_certificate("127.0.0.1", tmp_path)


@pytest.fixture(autouse=True)
def no_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the CA bundles of the environment that runs the tests."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(certificate: Path) -> Iterator[Loopback]:
    """A server with the self-signed certificate."""
    with serving(always(CREDITS), certificate=certificate) as running:
        yield running


async def read_credits(server: Loopback, transport_class: Any, verify: bool | str = True) -> None:
    """Read the credits from the server."""
    settings = settings_for(server, verify=verify)
    async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
        assert (await client.credits()).account_remaining == 7


def folder(parent: Path, certificate: Path, *, hashed: bool) -> Path:
    """Make a folder of certificates, as Kubernetes mounts one or as OpenSSL's ``rehash`` makes it."""
    authorities = parent / "authorities"
    authorities.mkdir()
    name = "ca.crt"
    if hashed:
        run = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", certificate], capture_output=True, check=True
        )
        name = f"{run.stdout.decode().strip()}.0"
    shutil.copy(certificate, authorities / name)
    return authorities


@TRANSPORTS
@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
async def test_bundles_of_the_environment(
    server: Loopback, certificate: Path, monkeypatch: pytest.MonkeyPatch, name: str, transport_class: Any
) -> None:
    """Every CA bundle that the environment names is trusted, as by other programs on the worker."""
    monkeypatch.setenv(name, str(certificate))
    await read_credits(server, transport_class)


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("name", ["SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", None])
async def test_folders(
    server: Loopback, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, hashed: bool
) -> None:
    """A folder of certificates works like a file, hashed or not, in the environment or in the connection."""
    authorities = str(folder(tmp_path, certificate, hashed=hashed))
    if name:
        monkeypatch.setenv(name, authorities)
    await read_credits(server, HttpxTransport, verify=True if name else authorities)


async def test_every_bundle_of_the_environment_counts(
    server: Loopback, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All CA bundles of the environment are trusted, even next to a folder that is missing."""
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(issue_certificate("other.example", other)))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("SSL_CERT_DIR", "/no/such/folder")
    await read_credits(server, HttpxTransport)


@TRANSPORTS
async def test_an_untrusted_certificate(server: Loopback, transport_class: Any) -> None:
    """The error says that nothing was sent and names the settings that can trust the certificate."""
    with pytest.raises(errors.NotSentError, match=r"never left.*free.*`verify`.*SSL_CERT_FILE"):
        await read_credits(server, transport_class)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_an_unreadable_bundle_is_reported(monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path) -> None:
    """The error says which setting names an unreadable CA bundle."""
    for path in (tmp_path / "missing.pem", Path(__file__), tmp_path):
        monkeypatch.setenv(name, str(path))
        with pytest.raises(errors.ConfigurationError, match=f"environment.*{name}.*Nothing was sent"):
            tls_context(True)
        with pytest.raises(errors.ConfigurationError, match=r"connection.*verify.*Nothing was sent"):
            tls_context(str(path))


def test_contexts_are_cached() -> None:
    """Each setting has one context per process."""
    assert tls_context(True) is tls_context(True)
    assert tls_context(False) is tls_context(False)
    assert tls_context(True) is not tls_context(False)
