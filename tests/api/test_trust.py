"""Whose certificates are trusted, and what is said where one is not."""

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

CARRIERS = pytest.mark.parametrize("carrier", [HttpxTransport, AiohttpTransport], ids=["httpx", "aiohttp"])


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of this machine, which is its own authority."""
    return issue_certificate("127.0.0.1", tmp_path)


@pytest.fixture(autouse=True)
def no_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundles of whoever runs the tests are none of theirs."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(certificate: Path) -> Iterator[Loopback]:
    """A server with that certificate."""
    with serving(always(CREDITS), certificate=certificate) as running:
        yield running


async def ask(server: Loopback, carrier: Any, verify: bool | str = True) -> None:
    """Ask for the credits."""
    settings = settings_for(server, verify=verify)
    async with EvoLinkClient(settings, transport=carrier(settings)) as client:
        assert (await client.credits()).account_remaining == 7


def folder(parent: Path, certificate: Path, *, hashed: bool) -> Path:
    """A folder of certificates, as Kubernetes mounts one or as OpenSSL's ``rehash`` makes it."""
    made = parent / "authorities"
    made.mkdir()
    name = "ca.crt"
    if hashed:
        run = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", certificate], capture_output=True, check=True
        )
        name = f"{run.stdout.decode().strip()}.0"
    shutil.copy(certificate, made / name)
    return made


@CARRIERS
@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
async def test_bundles_of_the_environment(
    server: Loopback, certificate: Path, monkeypatch: pytest.MonkeyPatch, name: str, carrier: Any
) -> None:
    """What other programs on the worker trust by the environment is trusted here."""
    monkeypatch.setenv(name, str(certificate))
    await ask(server, carrier)


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("name", ["SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", None])
async def test_folders(
    server: Loopback, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, hashed: bool
) -> None:
    """A folder of certificates is as good as a file, hashed or not, in the environment or in the connection."""
    authorities = str(folder(tmp_path, certificate, hashed=hashed))
    if name:
        monkeypatch.setenv(name, authorities)
    await ask(server, HttpxTransport, verify=True if name else authorities)


async def test_every_bundle_of_the_environment_counts(
    server: Loopback, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bundle does not hide another, nor does a folder that is not there."""
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(issue_certificate("other.example", other)))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("SSL_CERT_DIR", "/no/such/folder")
    await ask(server, HttpxTransport)


@CARRIERS
async def test_a_certificate_that_is_not_trusted(server: Loopback, carrier: Any) -> None:
    """The error names what to set."""
    with pytest.raises(errors.NotSentError, match=r"never left.*`verify` or in SSL_CERT_FILE"):
        await ask(server, carrier)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_bundle_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path) -> None:
    """The error says who names it."""
    for bad in (tmp_path / "missing.pem", Path(__file__), tmp_path):
        monkeypatch.setenv(name, str(bad))
        with pytest.raises(errors.ConfigurationError, match=f"The environment's {name} is no CA bundle"):
            tls_context(True)
        with pytest.raises(errors.ConfigurationError, match="The connection's verify setting is no CA bundle"):
            tls_context(str(bad))


def test_contexts_are_kept() -> None:
    """One is made for each way of trusting."""
    assert tls_context(True) is tls_context(True)
    assert tls_context(False) is tls_context(False)
    assert tls_context(True) is not tls_context(False)
