"""What an enemy may answer: one clear error, in bounded time and memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.api.request import prepare
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transports.aiohttp_transport import AiohttpTransport
from airflow_provider_evolink.api.transports.base import _unpacked
from airflow_provider_evolink.api.transports.httpx_transport import HttpxTransport
from tests import hostile
from tests.hostile import BROKEN, SLOW, TOO_MUCH
from tests.loopback import ReceivedRequest, Write, always, serving, settings_for

KEY = "airflow-0123456789abcdef"
TEXT = prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})
UNKNOWN_ID = "task-unified-1757169743-7cvnl5zw"
CREDITS = {"data": {"token": {"unlimited_credits": True}, "user": {"remaining_credits": 7}}, "success": True}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: 0.0)


def generation_or_error(client: EvoLinkClient) -> Any:
    """Ask for a generation, and give what came of it."""

    async def ask() -> Generation | errors.EvoLinkError:
        try:
            return await client.generation(UNKNOWN_ID)
        except errors.EvoLinkError as error:
            return error

    return asyncio.wait_for(ask(), 20)


CARRIERS = pytest.mark.parametrize("carrier", [HttpxTransport, AiohttpTransport], ids=["httpx", "aiohttp"])


@CARRIERS
@pytest.mark.parametrize("answer", [*TOO_MUCH, *BROKEN], ids=lambda one: one.__name__)
async def test_a_hostile_answer_is_one_clear_error(answer: Any, carrier: Any) -> None:
    """Whatever comes, memory and time are bounded, and the error says that the generation goes on."""
    with serving(answer, hangs_up=True) as server:
        settings = settings_for(server, timeout=2)
        async with EvoLinkClient(settings, transport=carrier(settings)) as client:
            error = await generation_or_error(client)

    assert type(error) is (errors.InvalidResponseError if answer in TOO_MUCH else errors.ConnectionLostError)
    assert error.generation_id == UNKNOWN_ID
    assert "The generation goes on at EvoLink" in str(error)
    assert not error.permanent


@CARRIERS
@pytest.mark.parametrize("answer", SLOW, ids=lambda one: one.__name__)
async def test_a_slow_answer_is_given_up(answer: Any, carrier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole exchange is bounded in time, not only the wait for each byte."""
    monkeypatch.setattr("airflow_provider_evolink.api.transports.base.CONNECT_SECONDS", 0.2)
    loop = asyncio.get_running_loop()
    with serving(answer) as server:
        settings = settings_for(server, timeout=0.4)
        async with EvoLinkClient(settings, transport=carrier(settings)) as client:
            began = loop.time()
            error = await generation_or_error(client)

    assert isinstance(error, errors.ConnectionLostError)
    assert loop.time() - began < 4


@pytest.mark.parametrize("answer", [*TOO_MUCH, *BROKEN], ids=lambda one: one.__name__)
async def test_a_hostile_answer_to_a_submission_is_unknown(answer: Any) -> None:
    """A submission whose answer makes no sense is neither repeated nor taken for refused."""
    with serving(answer, hangs_up=True) as server:
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
    """JSON that is none of EvoLink's answers is an error, never a crash and never another's generation."""
    with serving(always(ODD[body])) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            assert isinstance(await generation_or_error(client), errors.InvalidResponseError)


async def test_a_compressed_bomb_is_not_unpacked() -> None:
    """A bomb in a wrapping loses its wrapping and stays a bomb: 256 MiB in a few hundred bytes."""
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
def test_an_answer_that_was_packed_all_the_same(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """A gateway that packs in spite of being asked not to is understood; a bomb is cut off at the limit."""
    assert _unpacked(pack(b'{"id": 1}'), encoding) == b'{"id": 1}'
    if encoding:
        assert len(_unpacked(pack(bytes(20 * 1024 * 1024)), encoding)) == 16 * 1024 * 1024


IN_PASSING = b"HTTP/1.1 302 X\r\nLocation: https://xn--a/\r\nContent-Length: 0\r\n\r\n"
QUESTIONS: dict[str, Callable[[EvoLinkClient, Path], Any]] = {
    "submit": lambda client, _: client.submit(TEXT.endpoint, TEXT.body, KEY),
    "generation": lambda client, _: client.generation(UNKNOWN_ID),
    "generations": lambda client, _: client.generations([UNKNOWN_ID]),
    "credits": lambda client, _: client.credits(),
    "upload": lambda client, picture: client.upload(picture, "image/png"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_any_answer_is_a_value_or_an_error_of_ours(question: str, tmp_path: Path) -> None:
    """Whatever a server sends, byte by byte, is read or refused, once; what arrived is never taken for never sent."""
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG")
    sent = {}

    async def answer(request: ReceivedRequest, write: Write) -> None:
        await write(sent["raw"])

    with serving(answer, hangs_up=True) as server, asyncio.Runner() as runner:

        async def ask() -> None:
            async with EvoLinkClient(settings_for(server, timeout=5, submit_timeout=5)) as client:
                await QUESTIONS[question](client, picture)

        @example(IN_PASSING)
        @given(hostile.raw_answers(hostile.bodies()))
        def check(raw: bytes) -> None:
            sent["raw"] = raw
            server.requests.clear()
            try:
                runner.run(ask())
            except errors.EvoLinkError as error:
                assert not isinstance(error, errors.NotSentError)
                assert str(error).isprintable()
                assert len(str(error)) < 2000
            assert len(server.requests) == 1

        check()


async def test_no_cookie_is_kept() -> None:
    """What an answer sets does not pile up in a triggerer, and does not go out with the next question."""
    with serving(always(CREDITS, Set_Cookie="session=1; Path=/")) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            await client.credits()
            await client.credits()
    assert [request.headers.get("cookie") for request in server.requests] == [None, None]


@pytest.mark.parametrize("url", ["https://xn--a", "https://xn--0.example.com:8443"])
def test_a_name_that_cannot_be_decoded_is_refused_before_anything_is_sent(url: str) -> None:
    """An international name that is broken is a mistake in the connection, and no lost answer."""
    with pytest.raises(errors.ConfigurationError, match="Nothing was sent"):
        EvoLinkClient(Settings(base_url=url, api_key="sk-planted-key-4711"))
