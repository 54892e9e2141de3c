"""The ways over HTTP: how many calls at a time, where to, and nothing of the key in any text."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transports.aiohttp_transport import AiohttpTransport, is_reachable_without_proxy
from airflow_provider_evolink.api.transports.httpx_transport import HttpxTransport
from testkit.certificates import issue_certificate
from tests.api.calls import CALLS, CREDITS, UNKNOWN_ID, submit
from tests.connect_proxy import connect_proxy
from tests.loopback import ReceivedRequest, Write, always, http_response, serving, settings_for

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
KEY = "sk-planted-key-4711"
CARRIERS = pytest.mark.parametrize("carrier", [HttpxTransport, AiohttpTransport], ids=["httpx", "aiohttp"])


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxies of whoever runs the tests are none of theirs."""
    for name in (*PROXIES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@CARRIERS
async def test_a_crowd_shares_connections(carrier: Any) -> None:
    """Many reads at once share few connections, which are kept; no request queues in a pool."""
    busy: list[int] = []

    async def slow(request: ReceivedRequest, write: Write) -> None:
        busy.append(1)
        assert len(busy) <= carrier.max_concurrency
        await asyncio.sleep(0.01)
        busy.pop()
        await write(http_response({"id": request.target.rpartition("/")[2], "status": "processing"}))

    ids = [f"task-unified-{number:04}" for number in range(400)]
    with serving(slow) as server:
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=carrier(settings)) as client:
            found = await asyncio.gather(*map(client.generation, ids))

    assert [one.id for one in found] == ids
    assert (server.most_open, server.connections) == (carrier.max_concurrency, carrier.max_concurrency)
    assert server.open == 0


async def test_what_costs_money_goes_over_httpx_only() -> None:
    """Aiohttp's carrier sends reads, and neither a paid request nor a file."""
    with serving(always(CREDITS)) as server:
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=AiohttpTransport(settings)) as client:
            with pytest.raises(errors.NotSentError, match="reads only"):
                await submit(client)
            with pytest.raises(errors.NotSentError, match="reads only"):
                await client.upload(Path(__file__), "image/png")

    assert server.connections == 0


def test_few_where_money_is_spent_and_many_where_crowds_wait() -> None:
    """Httpx slows with each connection; aiohttp does not."""
    assert (HttpxTransport.max_concurrency, AiohttpTransport.max_concurrency) == (8, 128)


@CARRIERS
async def test_a_proxy_of_the_environment_does_not_see_loopback(monkeypatch: pytest.MonkeyPatch, carrier: Any) -> None:
    """What is meant for this machine does not leave it, whatever the environment says."""
    with serving(always({})) as proxy, serving(always(CREDITS)) as server:
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.url)
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=carrier(settings)) as client:
            await client.credits()

    assert (len(server.requests), proxy.connections) == (1, 0)


@CARRIERS
@pytest.mark.parametrize("host", ["127.0.0.1", "api.example.com"])
async def test_the_key_goes_to_no_server_that_cannot_prove_its_name(host: str, carrier: Any, tmp_path: Path) -> None:
    """A certificate that nobody vouches for, or of another host, ends the call before a byte of it is sent."""
    certificate = issue_certificate(host, tmp_path)
    with serving(always(CREDITS), certificate=certificate) as server:
        for verify in (True, str(certificate)):
            settings = settings_for(server, verify=verify)
            async with EvoLinkClient(settings, transport=carrier(settings)) as client:
                if host == "127.0.0.1" and verify is not True:
                    assert (await client.credits()).account_remaining == 7
                else:
                    with pytest.raises(errors.NotSentError, match="never left"):
                        await client.credits()

    assert len(server.requests) == (host == "127.0.0.1")


@CARRIERS
async def test_who_wants_no_proof_gets_none(carrier: Any, tmp_path: Path) -> None:
    """With ``verify: false`` any certificate will do."""
    with serving(always(CREDITS), certificate=issue_certificate("api.example.com", tmp_path)) as server:
        settings = settings_for(server, verify=False)
        async with EvoLinkClient(settings, transport=carrier(settings)) as client:
            assert (await client.credits()).account_remaining == 7


@CARRIERS
async def test_loopback_is_reached_without_the_connections_proxy(carrier: Any) -> None:
    """The emulator is asked straight, whatever proxy the connection names."""
    with serving(always({})) as proxy, serving(always(CREDITS)) as server:
        settings = settings_for(server, proxy=proxy.url)
        async with EvoLinkClient(settings, transport=carrier(settings)) as client:
            await client.credits()

    assert (len(server.requests), proxy.connections) == (1, 0)


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("variable", ["", "HTTPS_PROXY", "ALL_PROXY"])
async def test_a_proxy_is_used(
    variable: str, is_secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxies: None
) -> None:
    """The connection's proxy, or the environment's, leads to the API, whichever way it is spoken to."""
    certificate, bundle = issue_certificate("api.example.com", tmp_path), tmp_path / "bundle.pem"
    proxy_certificate = issue_certificate("localhost", tmp_path)
    bundle.write_bytes(certificate.read_bytes() + proxy_certificate.read_bytes())
    with serving(always(CREDITS), certificate=certificate) as server:
        port = int(server.url.rpartition(":")[2])
        with connect_proxy(port, certificate=proxy_certificate if is_secure else None) as proxy:
            through = proxy.url.replace("://", "://me:p%40ss@")
            if variable:
                monkeypatch.setenv(variable, through)
            settings = Settings("https://api.example.com", KEY, proxy=None if variable else through, verify=str(bundle))
            async with EvoLinkClient(settings) as client:
                assert (await client.credits()).account_remaining == 7
    assert proxy.requests == [("api.example.com:443", "Basic bWU6cEBzcw==")]
    assert "proxy-authorization" not in server.requests[0].headers


async def test_a_host_that_is_exempt_is_reached_without_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxies: None
) -> None:
    """NO_PROXY may name the API and leave the files' host to the proxy."""
    certificate = issue_certificate("files.example.com", tmp_path)
    with serving(always({"data": {"file_url": "https://x.test/a"}}), certificate=certificate) as server:
        port = int(server.url.rpartition(":")[2])
        with connect_proxy(port) as proxy:
            monkeypatch.setenv("ALL_PROXY", proxy.url)
            monkeypatch.setenv("NO_PROXY", "api.invalid")
            settings = Settings("https://api.invalid", KEY, "https://files.example.com", verify=str(certificate))
            assert is_reachable_without_proxy(settings)
            async with EvoLinkClient(settings) as client:
                assert await client.upload(Path(__file__), "image/png") == "https://x.test/a"
                with pytest.raises(errors.NotSentError):
                    await client.credits()
    assert [host for host, _ in proxy.requests] == ["files.example.com:443"]


@pytest.mark.parametrize(
    "changes", [{"proxy": "nonsense://user:sk-planted-key-4711@x"}, {"verify": "/no/such/bundle.pem"}]
)
def test_settings_that_cannot_be_used(changes: dict[str, Any]) -> None:
    """A proxy or CA bundle that can't be used is told without what it says, before anything is sent."""
    with pytest.raises(errors.ConfigurationError, match=r"(verify|proxy) .* Nothing was sent") as caught:
        EvoLinkClient(Settings(api_key="sk-planted-key-4711", **changes))
    assert "planted" not in repr(caught.value)


@pytest.mark.parametrize(
    ("changes", "is_straight"),
    [
        ({}, False),
        ({"base_url": "http://127.0.0.1:9"}, True),
        ({"base_url": "http://127.0.0.1:9", "proxy": "http://127.0.0.1:8"}, True),
        ({"base_url": "https://localhost:9"}, True),
        ({"base_url": "https://gateway.example.com"}, True),
    ],
)
def test_what_needs_a_proxy_is_left_to_httpx(
    monkeypatch: pytest.MonkeyPatch, no_proxies: None, changes: dict[str, Any], is_straight: bool
) -> None:
    """A proxy is in the way of aiohttp, unless the API is on this machine or named in NO_PROXY."""
    assert is_reachable_without_proxy(Settings()) is True
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:8")
    monkeypatch.setenv("NO_PROXY", "gateway.example.com")

    assert is_reachable_without_proxy(Settings(**changes)) is is_straight


@CARRIERS
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int, carrier: Any) -> None:
    """A redirect, even to the same host, is an answer that is none: the key goes nowhere else."""
    with serving(always({})) as elsewhere, serving(always({}, status, Location=f"{elsewhere.url}/v1/x")) as server:
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=carrier(settings)) as client:
            with pytest.raises(errors.InvalidResponseError, match=str(status)):
                await client.credits()

    assert len(server.requests) == 1
    assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_submission_is_not_sent_elsewhere(status: int) -> None:
    """A redirect of a paid request is no acceptance, and nobody else gets the key or the order."""
    with serving(always({})) as elsewhere, serving(always({}, status, Location=f"{elsewhere.url}/v1/x")) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            with pytest.raises(errors.InvalidResponseError, match=str(status)):
                await submit(client)

    assert len(server.requests) == 1
    assert elsewhere.connections == 0


@CARRIERS
async def test_a_redirect_loop_is_not_followed(carrier: Any) -> None:
    """A redirect to itself is asked once."""
    with serving(always({}, 302, Location="/v1/credits")) as server:
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=carrier(settings)) as client:
            with pytest.raises(errors.InvalidResponseError):
                await client.credits()
    assert len(server.requests) == 1


ECHOES: dict[str, bytes] = {
    "error": http_response({"error": {"code": "sk-planted-key-4711", "message": "bad sk-planted-key-4711"}}, 401),
    "type": http_response({"error": {"message": "x", "type": "sk-planted-key-4711"}}, 500),
    "page": http_response(b"<html>Bearer sk-planted-key-4711</html>", 403),
    "request id": http_response({"error": {"message": "x"}}, 402, X_Request_Id="sk-planted-key-4711"),
    "failed generation": http_response(
        {"id": UNKNOWN_ID, "status": "failed", "error": {"code": "x", "message": "by sk-planted-key-4711"}}
    ),
    "other id": http_response({"id": "sk-planted-key-4711", "status": "pending"}),
    "no HTTP": b"sk-planted-key-4711 sk-planted-key-4711\r\n\r\n",
}


@CARRIERS
@pytest.mark.parametrize("echo", ECHOES)
async def test_the_key_is_in_no_text(echo: str, carrier: Any) -> None:
    """A server that echoes the key does not get it into an error, a value or a representation."""

    async def answer(request: ReceivedRequest, write: Write) -> None:
        await write(ECHOES[echo])

    told: list[object] = []
    with serving(answer, hangs_up=True) as server:
        settings = settings_for(server, timeout=1, submit_timeout=1)
        async with EvoLinkClient(settings, transport=carrier(settings)) as client:
            told += [client, settings]
            for call in CALLS.values():
                try:
                    told.append(await call(client))
                except errors.EvoLinkError as error:
                    told += [error, error.__dict__, "".join(traceback.format_exception(error))]

    assert len(told) >= 5
    assert all("planted" not in f"{one} {one!r}" for one in told)
