# SPDX-License-Identifier: Apache-2.0
"""
Fetches one link into a file until it is whole, in constant memory.

Whole means: as many bytes as the server promised, of a kind that is media. A server that promises no number
has to send the same bytes twice, since a cut connection then looks like the end of the file. What is sent compressed,
though it was asked not to be, is promised, cut and resumed as it is sent, and kept as it is meant.
"""

from __future__ import annotations

import http.client
import logging
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from airflow_provider_evolink.api import responses
from airflow_provider_evolink.api.errors import LandingError, ResultCorruptError, ResultExpiredError
from airflow_provider_evolink.api.sanitize import sanitize
from airflow_provider_evolink.landing import media_types, range_requests
from airflow_provider_evolink.landing.content_coding import Decoder, codings_in, decoder_for
from airflow_provider_evolink.landing.hashing_writer import HashingWriter
from airflow_provider_evolink.landing.media_types import MediaType
from airflow_provider_evolink.landing.range_requests import Position, Verdict
from airflow_provider_evolink.landing.response import Response
from airflow_provider_evolink.landing.retries import DownloadBudget, InterruptedDownloadError
from airflow_provider_evolink.landing.safe_http import Network, open_link

log = logging.getLogger(__name__)

_CODED_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """
    How much is taken, and how patiently.

    :param max_bytes: of one file.
    :param tries: failures in a row after which a download is given up; moving on by ``progress`` bytes starts
        the count again.
    :param slowest: bytes a second, over ``window`` seconds, below which an answer counts as cut.
    :param seconds: for one file, all tries, waits and links together; a server may be slow, but not for ever.
    """

    max_bytes: int = 5 * 1024**3
    tries: int = 6
    progress: int = 1024 * 1024
    slowest: float = 1024.0
    window: float = 60.0
    seconds: float = 3600.0


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Download:
    """What has come: its size, its SHA-256 in hexadecimal, and its kind."""

    bytes: int
    sha256: str
    media_type: MediaType


def download(
    link: str,
    spool: BinaryIO,
    network: Network,
    limits: Limits = LIMITS,
    *,
    began: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Download:
    """
    Fetch a link into an empty file.

    A cut download is resumed where the server takes ``Range``, and begun again where it does not.

    :param spool: open for reading and writing; holds the whole file afterwards.
    :param began: when the file was first asked for, on the clock, if that was under another link.
    :param sleep: waits between tries.
    :param clock: tells the seconds; anything that runs evenly will do.
    :raises ResultExpiredError: the link is dead.
    :raises ResultRefusedError: the link leads where this package must not follow.
    :raises ResultCorruptError: what came is no media, or more than was promised or allowed.
    :raises LandingError: it did not come whole within the bounds.
    """
    with HashingWriter(spool) as sink:
        patience = DownloadBudget(limits, clock, began)
        copy, failures = _Transfer(sink, limits, patience), Counter[str]()
        while True:
            try:
                with open_link(link, range_requests.request_headers(copy.position), network, failures) as response:
                    return copy.receive(response)
            except (InterruptedDownloadError, OSError, http.client.HTTPException) as error:
                wait = patience.after(error, copy.position.received, link)
            sleep(wait)


class _Transfer:
    """A file on its way: what has come so far, and what is known about the rest."""

    def __init__(self, sink: HashingWriter, limits: Limits, patience: DownloadBudget) -> None:
        self._sink = sink
        self._limits = limits
        self._patience = patience
        self._have = 0
        self._size = 0
        self._total: int | None = None
        self._validator: str | None = None
        self._coding: Sequence[str] = ()
        self._decoder: Decoder | None = None
        self._head = b""
        self._kind: MediaType | None = None
        self._unconfirmed: str | None = None

    @property
    def position(self) -> Position:
        """How far it is, in bytes as they are sent."""
        return Position(self._have, self._total, self._validator)

    def receive(self, response: Response) -> Download:
        """Take an answer; what it means for the file follows from what is there already."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        coding = codings_in(response.headers.get_all("Content-Encoding", []))
        match range_requests.judge(response.status, headers, self.position):
            case Verdict.WHOLE:
                self._begin(response.length, range_requests.validator_of(headers), coding)
            case Verdict.PARTIAL if coding == self._coding:
                self._expect(range_requests.total_of(headers))
            case Verdict.RESTART | Verdict.PARTIAL:
                self._begin()
                raise InterruptedDownloadError(f"the server answered a wish for the rest with HTTP {response.status}")
            case Verdict.RETRY:
                wait = responses.retry_after(headers, datetime.now(UTC))
                raise InterruptedDownloadError(f"the server answered HTTP {response.status}", wait)
            case Verdict.EXPIRED:
                raise ResultExpiredError(f"Its link answers HTTP {response.status}.")
            case Verdict.REFUSED:
                raise ResultCorruptError(f"Its link answers HTTP {response.status}, which is no file.")
        self._pump(response, headers.get("content-type"))
        return self._finish(proven=response.chunked or self._total is not None)

    def _begin(self, total: int | None = None, validator: str | None = None, coding: Sequence[str] = ()) -> None:
        self._coding, self._decoder = coding, decoder_for(coding)
        with self._spooling():
            self._sink.restart()
        self._have, self._size, self._validator = 0, 0, validator
        self._head, self._kind = b"", None
        self._expect(total)

    def _expect(self, total: int | None) -> None:
        self._total = total
        self._check_bound(total or 0)

    def _check_bound(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise ResultCorruptError(f"It has {size} bytes or more; {self._limits.max_bytes} are allowed.")

    def _pump(self, response: Response, stated: str | None) -> None:
        self._patience.begin_answer(self._have)
        try:
            while self._take(response):
                if self._kind is None and len(self._head) >= media_types.HEAD_BYTES:
                    self._kind = self._look(stated)
                self._patience.check_pace(self._have)
        finally:
            with self._spooling():
                self._sink.settle()
        self._check_size()
        self._kind = self._kind or self._look(stated)

    def _take(self, response: Response) -> int:
        if self._decoder is None:
            count = response.read_some(self._sink.free)
            self._grow(count)
        else:
            coded = memoryview(bytearray(_CODED_BYTES))
            count = response.read_some(coded)
            self._decode(self._decoder, bytes(coded[:count]))
        self._have += count
        return count

    def _decode(self, decoder: Decoder, coded: bytes) -> None:
        try:
            for piece in decoder.decode(coded):
                self._put(piece)
        except zlib.error:
            self._begin()
            raise InterruptedDownloadError("what it is compressed with is broken") from None

    def _put(self, piece: bytes) -> None:
        while piece:
            count = min(len(piece), len(self._sink.free))
            self._sink.free[:count] = piece[:count]
            self._grow(count)
            piece = piece[count:]

    def _grow(self, count: int) -> None:
        """Take over what lies at the front of the sink's free memory."""
        if len(self._head) < media_types.HEAD_BYTES:
            self._head += self._sink.free[: min(count, media_types.HEAD_BYTES - len(self._head))]
        with self._spooling():
            self._sink.took(count)
        self._size += count
        self._check_bound(self._size)

    def _check_size(self) -> None:
        have, total = self._have, self._total
        if total is not None and have < total:
            raise InterruptedDownloadError(f"the connection ended after {have} of {total} bytes")
        if total is not None and have > total:
            self._begin()
            raise InterruptedDownloadError(f"{have} bytes came where {total} were promised")
        if self._decoder is not None and not self._decoder.is_complete:
            self._begin()
            raise InterruptedDownloadError(f"what it is compressed with ends early, after {have} bytes")

    def _look(self, stated: str | None) -> MediaType:
        kind = media_types.identify(self._head, stated)
        word = sanitize(stated, "") or "no content type"
        if kind is None or (self._decoder is not None and not kind.is_certain):
            raise ResultCorruptError(f"It is no media: the server says {word}, and it begins with {self._head[:24]!r}.")
        if not kind.is_certain:
            log.warning(
                "Its bytes %r are of no kind known here; it is taken as the server says: %s.", self._head[:24], word
            )
        return kind

    def _finish(self, *, proven: bool) -> Download:
        with self._spooling():
            digest = self._sink.finish()
        if not proven and digest != self._unconfirmed:
            self._unconfirmed = digest
            raise InterruptedDownloadError("the server does not say how long it is, and has not sent the same twice")
        return Download(self._size, digest, self._kind or media_types.BINARY)

    @contextmanager
    def _spooling(self) -> Iterator[None]:
        """Keep a full disk apart from a broken network: asking again would not help."""
        try:
            yield
        except OSError as error:
            raise LandingError(f"This machine can't hold it after {self._size} bytes: {error.strerror}.") from error
