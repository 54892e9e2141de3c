# SPDX-License-Identifier: Apache-2.0
"""The transports: how many requests at a time, to which hosts, and the API key in no text."""

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
from tests.api.calls import CALLS, CREDITS, UNKNOWN_ID, png, submit
from tests.connect_proxy import connect_proxy
from tests.loopback import ReceivedRequest, Write, always, http_response, serving, settings_for

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
KEY = "sk-planted-key-4711"
TRANSPORTS = pytest.mark.parametrize("transport_class", [HttpxTransport, AiohttpTransport], ids=["httpx", "aiohttp"])


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the proxies of the environment that runs the tests."""
    for name in (*PROXIES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@TRANSPORTS
async def test_many_requests_share_connections(transport_class: Any) -> None:
    """Many concurrent reads share a few pooled connections, and none waits for the pool."""
    busy: list[int] = []

    async def respond_slowly(request: ReceivedRequest, write: Write) -> None:
        busy.append(1)
        assert len(busy) <= transport_class.max_concurrency
        await asyncio.sleep(0.01)
        busy.pop()
        await write(http_response({"id": request.target.rpartition("/")[2], "status": "processing"}))

    ids = [f"task-unified-{number:04}" for number in range(400)]
    with serving(respond_slowly) as server:
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            found = await asyncio.gather(*map(client.generation, ids))

    assert [generation.id for generation in found] == ids
    assert (server.most_open, server.connections) == (transport_class.max_concurrency, transport_class.max_concurrency)
    assert server.open == 0


@TRANSPORTS
async def test_requests_go_on_after_a_pause(transport_class: Any) -> None:
    """Before a pause, what many connections hold is freed: aiohttp closes them, httpx keeps its few small ones."""
    with serving(always(CREDITS)) as server:
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            await client.credits()
            await client.disconnect()
            is_kept = transport_class is HttpxTransport
            await asyncio.sleep(0.1)
            assert server.open == is_kept
            await client.credits()
    assert server.connections == (1 if is_kept else 2)
    assert server.open == 0


@TRANSPORTS
async def test_a_closed_client_sends_nothing(transport_class: Any) -> None:
    """A submission that comes too late opens no connection, which nobody would close, and is not paid for."""
    with serving(always(CREDITS)) as server:
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            await client.credits()
        with pytest.raises(errors.EvoLinkError):
            await submit(client)

    assert (len(server.requests), server.open) == (1, 0)


async def test_aiohttp_sends_no_files() -> None:
    """An upload goes through httpx, which builds its multipart body."""
    with serving(always(CREDITS)) as server:
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=AiohttpTransport(settings)) as client:
            with pytest.raises(errors.NotSentError, match="no files"):
                await client.files.upload(png())

    assert server.connections == 0


@TRANSPORTS
async def test_a_submission_is_never_sent_twice(transport_class: Any) -> None:
    """If a pooled connection breaks, a read may be repeated by the library, but a paid request leaves exactly once."""

    async def respond(request: ReceivedRequest, write: Write) -> None:
        if request.method == "GET":
            await write(http_response(CREDITS))
        else:
            raise OSError("hangs up without a response")

    with serving(respond) as server:
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            await client.credits()
            with pytest.raises(errors.ConnectionLostError):
                await submit(client)

    assert [request.method for request in server.requests] == ["GET", "POST"]
    assert server.connections == 1


def test_connection_limits() -> None:
    """Httpx has few connections, since it slows down with each; aiohttp has many."""
    assert (HttpxTransport.max_concurrency, AiohttpTransport.max_concurrency) == (8, 128)


@TRANSPORTS
async def test_loopback_bypasses_the_environments_proxy(monkeypatch: pytest.MonkeyPatch, transport_class: Any) -> None:
    """Requests to this machine do not use the environment's proxy."""
    with serving(always({})) as proxy, serving(always(CREDITS)) as server:
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.url)
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            await client.credits()

    assert (len(server.requests), proxy.connections) == (1, 0)


@TRANSPORTS
@pytest.mark.parametrize("host", ["127.0.0.1", "api.example.com"])
async def test_the_api_key_is_sent_to_no_unverified_server(host: str, transport_class: Any, tmp_path: Path) -> None:
    """An untrusted certificate, or one of another host, ends the request before a byte of it is sent."""
    certificate = issue_certificate(host, tmp_path)
    with serving(always(CREDITS), certificate=certificate) as server:
        for verify in (True, str(certificate)):
            settings = settings_for(server, verify=verify)
            async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
                if host == "127.0.0.1" and verify is not True:
                    assert (await client.credits()).account_remaining == 7
                else:
                    with pytest.raises(errors.NotSentError, match="never left"):
                        await client.credits()

    assert len(server.requests) == (host == "127.0.0.1")


@TRANSPORTS
async def test_verification_can_be_disabled(transport_class: Any, tmp_path: Path) -> None:
    """With ``verify: false``, any certificate is accepted."""
    with serving(always(CREDITS), certificate=issue_certificate("api.example.com", tmp_path)) as server:
        settings = settings_for(server, verify=False)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            assert (await client.credits()).account_remaining == 7


@TRANSPORTS
async def test_loopback_bypasses_the_connections_proxy(transport_class: Any) -> None:
    """Requests to this machine do not use the connection's proxy."""
    with serving(always({})) as proxy, serving(always(CREDITS)) as server:
        settings = settings_for(server, proxy=proxy.url)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            await client.credits()

    assert (len(server.requests), proxy.connections) == (1, 0)


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("variable", ["", "HTTPS_PROXY", "ALL_PROXY"])
async def test_a_proxy_is_used(
    variable: str, is_secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxies: None
) -> None:
    """The API is reached through the connection's or the environment's proxy, over HTTP or HTTPS."""
    certificate, bundle = issue_certificate("api.example.com", tmp_path), tmp_path / "bundle.pem"
    proxy_certificate = issue_certificate("localhost", tmp_path)
    bundle.write_bytes(certificate.read_bytes() + proxy_certificate.read_bytes())
    with serving(always(CREDITS), certificate=certificate) as server:
        port = int(server.url.rpartition(":")[2])
        with connect_proxy(port, certificate=proxy_certificate if is_secure else None) as proxy:
            proxy_url = proxy.url.replace("://", "://me:p%40ss@")
            if variable:
                monkeypatch.setenv(variable, proxy_url)
            configured = None if variable else proxy_url
            settings = Settings("https://api.example.com", KEY, proxy=configured, verify=str(bundle))
            async with EvoLinkClient(settings) as client:
                assert (await client.credits()).account_remaining == 7
    assert proxy.requests == [("api.example.com:443", "Basic bWU6cEBzcw==")]
    assert "proxy-authorization" not in server.requests[0].headers


async def test_no_proxy_exempts_single_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxies: None) -> None:
    """NO_PROXY can exempt the API's host and leave the files API to the proxy."""
    certificate = issue_certificate("files.example.com", tmp_path)
    with serving(always({"data": {"file_url": "https://x.test/a"}}), certificate=certificate) as server:
        port = int(server.url.rpartition(":")[2])
        with connect_proxy(port) as proxy:
            monkeypatch.setenv("ALL_PROXY", proxy.url)
            monkeypatch.setenv("NO_PROXY", "api.invalid")
            settings = Settings("https://api.invalid", KEY, "https://files.example.com", verify=str(certificate))
            assert is_reachable_without_proxy(settings)
            async with EvoLinkClient(settings) as client:
                assert (await client.files.upload(png())).link == "https://x.test/a"
                with pytest.raises(errors.NotSentError):
                    await client.credits()
    assert [host for host, _ in proxy.requests] == ["files.example.com:443"]


@pytest.mark.parametrize(
    "changes", [{"proxy": "nonsense://user:sk-planted-key-4711@x"}, {"verify": "/no/such/bundle.pem"}]
)
def test_unusable_settings(changes: dict[str, Any]) -> None:
    """An unusable proxy or CA bundle is reported before anything is sent, without showing its value."""
    with pytest.raises(errors.ConfigurationError, match=r"(verify|proxy) .* Nothing was sent") as caught:
        EvoLinkClient(Settings(api_key="sk-planted-key-4711", **changes))
    assert "planted" not in repr(caught.value)


@pytest.mark.parametrize(
    ("changes", "is_direct"),
    [
        ({}, False),
        ({"base_url": "http://127.0.0.1:9"}, True),
        ({"base_url": "http://127.0.0.1:9", "proxy": "http://127.0.0.1:8"}, True),
        ({"base_url": "https://localhost:9"}, True),
        ({"base_url": "https://gateway.example.com"}, True),
    ],
)
def test_aiohttp_is_only_used_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, no_proxies: None, changes: dict[str, Any], is_direct: bool
) -> None:
    """A proxy rules out aiohttp, unless the API is on this machine or listed in NO_PROXY."""
    assert is_reachable_without_proxy(Settings()) is True
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:8")
    monkeypatch.setenv("NO_PROXY", "gateway.example.com")

    assert is_reachable_without_proxy(Settings(**changes)) is is_direct


@TRANSPORTS
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int, transport_class: Any) -> None:
    """A redirect, even to the same host, is an invalid response, and the API key is sent nowhere else."""
    with serving(always({})) as elsewhere, serving(always({}, status, Location=f"{elsewhere.url}/v1/x")) as server:
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            with pytest.raises(errors.InvalidResponseError, match=str(status)):
                await client.credits()

    assert len(server.requests) == 1
    assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirected_submission_is_not_sent_again(status: int) -> None:
    """A redirected paid request is not accepted, and neither it nor the API key goes elsewhere."""
    with serving(always({})) as elsewhere, serving(always({}, status, Location=f"{elsewhere.url}/v1/x")) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            with pytest.raises(errors.InvalidResponseError, match=str(status)):
                await submit(client)

    assert len(server.requests) == 1
    assert elsewhere.connections == 0


@TRANSPORTS
async def test_a_redirect_loop_is_not_followed(transport_class: Any) -> None:
    """A request that is redirected to itself is sent once."""
    with serving(always({}, 302, Location="/v1/credits")) as server:
        settings = settings_for(server)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
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


@TRANSPORTS
@pytest.mark.parametrize("echo", ECHOES)
async def test_the_api_key_is_in_no_text(echo: str, transport_class: Any) -> None:
    """A server's echo of the API key is in no error, value or repr."""

    async def respond(request: ReceivedRequest, write: Write) -> None:
        await write(ECHOES[echo])

    outputs: list[object] = []
    with serving(respond, hangs_up=True) as server:
        settings = settings_for(server, timeout=1, submit_timeout=1)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            outputs += [client, settings]
            for call in CALLS.values():
                try:
                    outputs.append(await call(client))
                except errors.EvoLinkError as error:
                    outputs += [error, error.__dict__, "".join(traceback.format_exception(error))]

    assert len(outputs) >= 5
    assert all("planted" not in f"{output} {output!r}" for output in outputs)


@TRANSPORTS
async def test_a_failed_connection_is_named(transport_class: Any) -> None:
    """The error has the host and the connection, and neither the API key nor a login in the URL."""
    settings = Settings("http://user:sesame@127.0.0.1:1", KEY, conn_id="my_evolink")
    async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
        with pytest.raises((errors.NotSentError, errors.ConnectionLostError)) as caught:
            await submit(client)
    text = str(caught.value)
    assert "EvoLink (http://127.0.0.1:1, connection 'my_evolink')" in text
    assert KEY not in text
    assert "sesame" not in text


@TRANSPORTS
async def test_a_lost_connection_is_named(transport_class: Any) -> None:
    """So has the error of a response that was lost."""

    async def hang_up(request: ReceivedRequest, write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    with serving(hang_up) as server:
        settings = settings_for(server, conn_id="my_evolink")
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            with pytest.raises(errors.ConnectionLostError) as caught:
                await client.credits()
        assert f"The response of EvoLink ({settings.base_url}, connection 'my_evolink') to the" in str(caught.value)
