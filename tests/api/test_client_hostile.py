# SPDX-License-Identifier: Apache-2.0
"""Hostile responses: each is one clear error, in bounded time and memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transports.aiohttp_transport import AiohttpTransport
from airflow_provider_evolink.api.transports.base import _decompress
from airflow_provider_evolink.api.transports.httpx_transport import HttpxTransport
from tests import hostile
from tests.api.calls import CREDITS, KEY, TEXT, UNKNOWN_ID, png
from tests.hostile import BROKEN, SLOW, TOO_MUCH
from tests.loopback import ReceivedRequest, Write, always, serving, settings_for

pytestmark = pytest.mark.usefixtures("no_pauses")


def generation_or_error(client: EvoLinkClient) -> Any:
    """Read a generation and return it, or the error."""

    async def read() -> Generation | errors.EvoLinkError:
        try:
            return await client.generation(UNKNOWN_ID)
        except errors.EvoLinkError as error:
            return error

    return asyncio.wait_for(read(), 20)


TRANSPORTS = pytest.mark.parametrize("transport_class", [HttpxTransport, AiohttpTransport], ids=["httpx", "aiohttp"])


@TRANSPORTS
@pytest.mark.parametrize("respond", [*TOO_MUCH, *BROKEN], ids=lambda respond: respond.__name__)
async def test_a_hostile_response_is_one_clear_error(respond: Any, transport_class: Any) -> None:
    """Memory and time are bounded, and the error is retryable and says that a read changes nothing."""
    with serving(respond, hangs_up=True) as server:
        settings = settings_for(server, timeout=2)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            error = await generation_or_error(client)

    assert type(error) is (errors.InvalidResponseError if respond in TOO_MUCH else errors.ConnectionLostError)
    assert error.generation_id == UNKNOWN_ID
    assert "Reads are free and change nothing at EvoLink." in str(error)
    assert not error.permanent


@TRANSPORTS
@pytest.mark.parametrize("respond", SLOW, ids=lambda respond: respond.__name__)
async def test_a_slow_response_times_out(respond: Any, transport_class: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole exchange has a time limit, not only the wait for each byte."""
    monkeypatch.setattr("airflow_provider_evolink.api.transports.base.CONNECT_SECONDS", 0.2)
    loop = asyncio.get_running_loop()
    with serving(respond) as server:
        settings = settings_for(server, timeout=0.4)
        async with EvoLinkClient(settings, transport=transport_class(settings)) as client:
            began = loop.time()
            error = await generation_or_error(client)

    assert isinstance(error, errors.ConnectionLostError)
    assert loop.time() - began < 4


@pytest.mark.parametrize("respond", [*TOO_MUCH, *BROKEN], ids=lambda respond: respond.__name__)
async def test_a_hostile_response_to_a_submission_is_unknown(respond: Any) -> None:
    """A submission with a nonsensical response is neither repeated nor considered rejected."""
    with serving(respond, hangs_up=True) as server:
        async with EvoLinkClient(settings_for(server, submit_timeout=2), attempts=4) as client:
            with pytest.raises((errors.ConnectionLostError, errors.InvalidResponseError)):
                await asyncio.wait_for(client.submit(TEXT.endpoint, TEXT.body, KEY), 20)
    assert len(server.requests) == 1


DEEP = b"[" * 200_000
ODD: dict[str, bytes] = {
    "deep": DEEP + b"]" * 200_000,
    "deep and cut off": DEEP,
    "deep object": b'{"a":' * 100_000,
    "long number": b'{"id": ' + b"9" * 100_000 + b"}",
    "no UTF-8": b'{"id": "\xff\xfe"}',
    "null": b"null",
    "text": b'"' + UNKNOWN_ID.encode() + b'"',
    "empty": b"",
    "list": b"[]",
    "half a surrogate pair for an id": b'{"id": "task-unified-\\ud800", "status": "pending"}',
    "other id": json.dumps({"id": "task-unified-2", "status": "completed"}).encode(),
    "no status": json.dumps({"id": UNKNOWN_ID}).encode(),
}


@pytest.mark.parametrize("body", ODD)
async def test_odd_json_is_one_clear_error(body: str) -> None:
    """JSON that is not EvoLink's is an error, never a crash and never another generation."""
    with serving(always(ODD[body])) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            assert isinstance(await generation_or_error(client), errors.InvalidResponseError)


async def test_a_decompression_bomb_is_not_expanded() -> None:
    """Of a doubly compressed body, 256 MiB in a few hundred bytes, only the outer layer is decompressed."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    bomb = gzip.compress(b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serving(always(bomb, Content_Encoding="gzip, gzip")) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            assert isinstance(await generation_or_error(client), errors.InvalidResponseError)

    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        *((name, gzip.compress) for name in ("gzip", "x-gzip", "gzip, identity", "")),
        ("deflate", zlib.compress),
        ("", bytes),
    ],
)
def test_an_unrequested_compression_is_decompressed(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """A response that a gateway compressed anyway is decompressed, up to the size limit."""
    assert _decompress(pack(b'{"id": 1}'), encoding) == b'{"id": 1}'
    if encoding:
        assert len(_decompress(pack(bytes(20 * 1024 * 1024)), encoding)) == 16 * 1024 * 1024


REDIRECT_TO_INVALID_HOST = b"HTTP/1.1 302 X\r\nLocation: https://xn--a/\r\nContent-Length: 0\r\n\r\n"
CALLS_BY_ENDPOINT: dict[str, Callable[[EvoLinkClient], Any]] = {
    "submit": lambda client: client.submit(TEXT.endpoint, TEXT.body, KEY),
    "generation": lambda client: client.generation(UNKNOWN_ID),
    "generations": lambda client: client.generations([UNKNOWN_ID]),
    "credits": lambda client: client.credits(),
    "upload": lambda client: client.files.upload(png()),
    "upload_link": lambda client: client.files.upload_link("https://example.com/a.png"),
    "delete_file": lambda client: client.files.delete("file_abc123"),
    "quota": lambda client: client.files.quota(),
}


@pytest.mark.parametrize("endpoint", CALLS_BY_ENDPOINT)
def test_any_response_is_a_value_or_one_of_our_errors(endpoint: str) -> None:
    """Any bytes from a server are parsed or rejected after one request, which never counts as not sent."""
    response = {}

    async def respond(request: ReceivedRequest, write: Write) -> None:
        await write(response["raw"])

    with serving(respond, hangs_up=True) as server, asyncio.Runner() as runner:

        async def call() -> None:
            async with EvoLinkClient(settings_for(server, timeout=5, submit_timeout=5)) as client:
                await CALLS_BY_ENDPOINT[endpoint](client)

        @example(REDIRECT_TO_INVALID_HOST)
        @given(hostile.raw_responses(hostile.bodies()))
        def check(raw: bytes) -> None:
            response["raw"] = raw
            server.requests.clear()
            try:
                runner.run(call())
            except errors.EvoLinkError as error:
                assert not isinstance(error, errors.NotSentError)
                assert str(error).isprintable()
                assert len(str(error)) < 2000
            assert len(server.requests) == 1

        check()


async def test_cookies_are_dropped() -> None:
    """A cookie that a response sets is not sent with the next request."""
    with serving(always(CREDITS, Set_Cookie="session=1; Path=/")) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            await client.credits()
            await client.credits()
    assert [request.headers.get("cookie") for request in server.requests] == [None, None]


@pytest.mark.parametrize("url", ["https://xn--a", "https://xn--0.example.com:8443"])
def test_an_undecodable_host_is_rejected_before_anything_is_sent(url: str) -> None:
    """A broken internationalized host name is a configuration error, not a lost response."""
    with pytest.raises(errors.ConfigurationError, match="Nothing was sent"):
        EvoLinkClient(Settings(base_url=url, api_key="sk-planted-key-4711"))
