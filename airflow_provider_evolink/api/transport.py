# SPDX-License-Identifier: Apache-2.0
"""
One account's way over HTTP, whoever carries it.

A :class:`Call` describes a request once, and :class:`Wire` sends it: bounded in time, in bytes and in how many are in
flight, and with every failure of the network told apart by whether the request can have arrived. How bytes travel is
left to a :class:`Carrier`: :mod:`~airflow_provider_evolink.api.over_httpx` for everything that costs money, and
:mod:`~airflow_provider_evolink.api.over_aiohttp` for the many small reads of those who wait.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import ssl
import zlib
from collections.abc import AsyncIterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from airflow_provider_evolink import __version__
from airflow_provider_evolink.api.answers import Answer, Question
from airflow_provider_evolink.api.errors import (
    ConfigurationError,
    ConnectionLostError,
    EvoLinkError,
    MalformedAnswerError,
    NotSentError,
)
from airflow_provider_evolink.api.settings import Settings

CONNECT_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 75.0
# How many reads may be under way where each asks for one generation.
LIGHT_CONNECTIONS = 128
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
# The slowest line on which a large request still has the time it takes.
_SLOWEST_BYTES_PER_SECOND = 64 * 1024
_GZIP_OR_ZLIB, _GZIP_MAGIC = 47, b"\x1f\x8b"
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Call:
    """
    One request, and what its failure means.

    :param question: what is asked, for the text of an error.
    :param seconds: to wait for the next bytes of the answer.
    :param is_paid: whether it costs money if it arrives.
    """

    method: str
    url: str
    question: Question
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Any] | None = None
    seconds: float = 15.0
    is_paid: bool = False

    @property
    def total_seconds(self) -> float:
        """How long it may take in all."""
        return CONNECT_SECONDS + 2 * self.seconds + len(self.content or b"") / _SLOWEST_BYTES_PER_SECOND


class NeverLeftError(Exception):
    """A request never left; the cause says why."""


class Carrier(Protocol):
    """Carries calls to one account, over connections that it keeps."""

    most: int
    """How many calls it carries well at a time."""

    async def carry(self, call: Call) -> Answer:
        """
        Send a call once and return the whole answer, read with :func:`whole`.

        :raises NeverLeftError: it never left; whatever else is raised, it may have arrived.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class Wire:
    """
    Sends calls to one account.

    :param carrier: takes them there.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._gate = asyncio.Semaphore(carrier.most)

    async def close(self) -> None:
        """Close every connection."""
        await self._carrier.close()

    async def send(self, call: Call) -> Answer:
        """
        Send a call once and return the whole answer, whatever its status.

        :raises NotSentError: it never left.
        :raises ConnectionLostError: it may have arrived.
        :raises MalformedAnswerError: the answer is larger than any of EvoLink's.
        """
        try:
            async with self._gate, asyncio.timeout(call.total_seconds):
                return await self._carrier.carry(call)
        except EvoLinkError:
            raise
        except NeverLeftError as error:
            raise _not_sent(call.question, error.__cause__ or error) from error.__cause__
        except Exception as error:
            # Whatever else went wrong, it may have arrived. Without its cause, which may quote what came: an echo of
            # the key.
            raise _lost(call.question, error) from None


def standing_headers(settings: Settings) -> dict[str, str]:
    """Headers of every request."""
    return {
        "Authorization": f"Bearer {settings.api_key}",
        "User-Agent": f"airflow-provider-evolink/{__version__}",
        "Accept": "application/json",
        # Answers are small, and what is not unpacked can't be a bomb.
        "Accept-Encoding": "identity",
    }


def tls_context(verify: bool | str) -> ssl.SSLContext:
    """
    Return what judges the certificates of servers, made once per process: that costs 40 ms and 0.8 MiB.

    :param verify: ``True`` trusts what the environment names in ``SSL_CERT_FILE``, ``SSL_CERT_DIR``,
        ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE``, all of it, or else the public CAs; a path is that of a CA bundle
        or of a folder of CA certificates; ``False`` trusts everybody.
    :raises ConfigurationError: there is no such bundle or folder; the text says who names it.
    """
    if verify is False:
        return _trusting_everybody()
    if isinstance(verify, str):
        return _trusting((("The connection's verify setting", verify),))
    # Several variables often name the same bundle.
    named = {path: name for name, path in _ca_sources(os.environ)}
    return _trusting(tuple((name, path) for path, name in named.items()))


def certificate_advice(error: BaseException | None) -> str:
    """Return what to do about a certificate that is not trusted, if that is behind an error; else nothing."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                " If a proxy or gateway with a CA of its own stands between, name its CA bundle in the connection's "
                "extra `verify` or in SSL_CERT_FILE."
            )
        error = error.__cause__ or error.__context__
    return ""


def _ca_sources(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in _CA_VARIABLES:
        if environment.get(name):
            yield f"The environment's {name}", environment[name]
    # A list, of which OpenSSL too passes over what is not there or empty.
    for folder in environment.get("SSL_CERT_DIR", "").split(os.pathsep):
        if folder and Path(folder).is_dir() and _locations(Path(folder)):
            yield "The environment's SSL_CERT_DIR", folder


@functools.lru_cache(maxsize=1)
def _trusting_everybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@functools.lru_cache(maxsize=8)
def _trusting(sources: tuple[tuple[str, str], ...]) -> ssl.SSLContext:
    context: ssl.SSLContext | None = None
    for name, path in sources:
        try:
            context = _also_trusting(context, path)
        except (ValueError, OSError) as error:
            raise ConfigurationError(
                f"{name} is no CA bundle or folder of CA certificates that can be read ({type(error).__name__}). "
                "Nothing was sent."
            ) from None
    return context or _trusting_public_authorities()


def _also_trusting(context: ssl.SSLContext | None, path: str) -> ssl.SSLContext:
    locations = _locations(Path(path))
    if not locations:
        raise FileNotFoundError
    if context is None:
        file, folder = locations.pop(0)
        context = ssl.create_default_context(cafile=file, capath=folder)
    for file, folder in locations:
        context.load_verify_locations(file, folder)
    return context


def _locations(path: Path) -> list[tuple[Path | None, Path | None]]:
    """List files and folders for OpenSSL, which finds in a folder only what its ``rehash`` has named."""
    if not path.is_dir():
        return [(path, None)]
    files = sorted(path.iterdir())
    if any(_HASHED.fullmatch(file.name) for file in files):
        return [(None, path)]
    return [(file, None) for file in files if file.suffix in {".pem", ".crt", ".cer"}]


def _trusting_public_authorities() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context(trust_env=False)


async def whole(chunks: AsyncIterable[bytes], encoding: str, question: Question) -> bytes:
    """
    Read an answer's body, and no more of it than is allowed.

    :param encoding: of the body, as the answer says.
    :raises MalformedAnswerError: it is larger than any of EvoLink's.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise MalformedAnswerError(
                f"Something answered {question.what} with more than {_MAX_ANSWER_BYTES} bytes. "
                f"{question.cost_in_doubt} A retry may reach EvoLink itself.",
                generation_id=question.generation_id,
            )
    return _unpacked(bytes(body), encoding)


def _unpacked(body: bytes, encoding: str) -> bytes:
    """
    Unpack an answer that was packed though we asked for it plain, and no more of it than is allowed.

    No JSON begins as gzip does, so that is known by itself, whatever a gateway calls it.
    """
    if not body.startswith(_GZIP_MAGIC) and "deflate" not in encoding.lower():
        return body
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, _MAX_ANSWER_BYTES)
    except zlib.error:
        return body


def _not_sent(question: Question, error: BaseException) -> NotSentError:
    return NotSentError(
        f"EvoLink could not be reached for {question.what} ({type(error).__name__}: {error}). "
        f"The request never left, so nothing was charged.{certificate_advice(error)} A retry is safe.",
        generation_id=question.generation_id,
    )


def _lost(question: Question, error: Exception) -> ConnectionLostError:
    return ConnectionLostError(
        f"EvoLink's answer to {question.what} was lost ({type(error).__name__}). {question.cost_in_doubt} "
        "A retry asks again.",
        generation_id=question.generation_id,
    )
