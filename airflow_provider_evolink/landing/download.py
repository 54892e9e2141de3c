# SPDX-License-Identifier: Apache-2.0
"""Download one link into a file until it is complete, in constant memory.

A file is complete if it has as many bytes as the server announced and is a media file. If the server announces no
length, the download has to bring the same bytes twice, since a dropped connection then looks like the end of the file.
For a response that is compressed although no compression was requested, the announced length, cuts and ranges count
the compressed bytes, and the file is stored decompressed.
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
from airflow_provider_evolink.landing.download_budget import LIMITS, DownloadBudget, InterruptedDownloadError, Limits
from airflow_provider_evolink.landing.hashing_writer import HashingWriter
from airflow_provider_evolink.landing.media_types import MediaType
from airflow_provider_evolink.landing.range_requests import Position, Verdict
from airflow_provider_evolink.landing.response import Response
from airflow_provider_evolink.landing.safe_http import Network, open_link

log = logging.getLogger(__name__)

_ENCODED_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Download:
    """A downloaded file: its size, its SHA-256 in hexadecimal, and its media type."""

    bytes: int
    sha256: str
    media_type: MediaType


def download(
    link: str,
    staging_file: BinaryIO,
    network: Network,
    limits: Limits = LIMITS,
    *,
    started: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Download:
    """Download a link into an empty file.

    An interrupted download is resumed if the server supports ``Range``, and restarted if it does not.

    :param staging_file: open for reading and writing; holds the whole file afterwards.
    :param started: when the file was first requested, on the clock, if that was under another link.
    :param sleep: waits between attempts.
    :param clock: returns seconds; has to be monotonic.
    :raises ResultExpiredError: the link is dead.
    :raises ResultRefusedError: the link leads where this package must not follow.
    :raises ResultCorruptError: the bytes are not a media file, or more than announced or allowed.
    :raises LandingError: the download did not complete within the limits.
    """
    with HashingWriter(staging_file) as writer:
        budget = DownloadBudget(limits, clock, started)
        transfer, failures = _Transfer(writer, limits, budget), Counter[str]()
        while True:
            try:
                with open_link(link, range_requests.request_headers(transfer.position), network, failures) as response:
                    return transfer.receive(response)
            except (InterruptedDownloadError, OSError, http.client.HTTPException) as error:
                delay = budget.delay_after(error, transfer.position.received, link)
            sleep(delay)


class _Transfer:
    """A file in transit: what has been received, and what is known about the rest."""

    def __init__(self, writer: HashingWriter, limits: Limits, budget: DownloadBudget) -> None:
        self._writer = writer
        self._limits = limits
        self._budget = budget
        self._received = 0
        self._size = 0
        self._total: int | None = None
        self._validator: str | None = None
        self._coding: Sequence[str] = ()
        self._decoder: Decoder | None = None
        self._head = b""
        self._media_type: MediaType | None = None
        self._unconfirmed_digest: str | None = None

    @property
    def position(self) -> Position:
        """How far the download is, in bytes as they are sent."""
        return Position(self._received, self._total, self._validator)

    def receive(self, response: Response) -> Download:
        """Read a response, and continue or restart the file with it."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        coding = codings_in(response.headers.get_all("Content-Encoding", []))
        match range_requests.classify(response.status, headers, self.position):
            case Verdict.WHOLE:
                self._restart(response.length, range_requests.validator_of(headers), coding)
            case Verdict.PARTIAL if coding == self._coding:
                self._expect(range_requests.total_of(headers))
            case Verdict.RESTART | Verdict.PARTIAL:
                self._restart()
                raise InterruptedDownloadError(f"the server answered a range request with HTTP {response.status}")
            case Verdict.RETRY:
                retry_after = responses.retry_after(headers, datetime.now(UTC))
                raise InterruptedDownloadError(f"the server answered HTTP {response.status}", retry_after)
            case Verdict.EXPIRED:
                raise ResultExpiredError(f"The link returned HTTP {response.status}.")
            case Verdict.UNEXPECTED:
                raise ResultCorruptError(f"The link returned HTTP {response.status} instead of the file.")
        self._read_body(response, headers.get("content-type"))
        return self._finish(is_end_known=response.chunked or self._total is not None)

    def _restart(self, total: int | None = None, validator: str | None = None, coding: Sequence[str] = ()) -> None:
        self._coding, self._decoder = coding, decoder_for(coding)
        with self._disk_errors():
            self._writer.reset(None if coding else total)
        self._received, self._size, self._validator = 0, 0, validator
        self._head, self._media_type = b"", None
        self._expect(total)

    def _expect(self, total: int | None) -> None:
        self._total = total
        self._check_max_bytes(total or 0)

    def _check_max_bytes(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise ResultCorruptError(
                f"The file has {size} bytes or more; at most {self._limits.max_bytes} are allowed."
            )

    def _read_body(self, response: Response, content_type: str | None) -> None:
        self._budget.start_response(self._received)
        try:
            while self._read_some(response):
                if self._media_type is None and len(self._head) >= media_types.HEAD_BYTES:
                    self._media_type = self._identify(content_type)
                self._budget.check_throughput(self._received)
        finally:
            with self._disk_errors():
                self._writer.flush()
        self._check_size()
        self._media_type = self._media_type or self._identify(content_type)

    def _read_some(self, response: Response) -> int:
        if self._decoder is None:
            count = response.read_some(self._writer.free)
            self._commit(count)
        else:
            encoded = memoryview(bytearray(_ENCODED_BYTES))
            count = response.read_some(encoded)
            self._decode(self._decoder, bytes(encoded[:count]))
        self._received += count
        return count

    def _decode(self, decoder: Decoder, encoded: bytes) -> None:
        try:
            for piece in decoder.decode(encoded):
                self._append(piece)
        except zlib.error:
            self._restart()
            raise InterruptedDownloadError("its compressed data is broken") from None

    def _append(self, piece: bytes) -> None:
        while piece:
            count = min(len(piece), len(self._writer.free))
            self._writer.free[:count] = piece[:count]
            self._commit(count)
            piece = piece[count:]

    def _commit(self, count: int) -> None:
        """Keep the bytes at the start of the writer's free buffer."""
        if len(self._head) < media_types.HEAD_BYTES:
            self._head += self._writer.free[: min(count, media_types.HEAD_BYTES - len(self._head))]
        with self._disk_errors():
            self._writer.commit(count)
        self._size += count
        self._check_max_bytes(self._size)

    def _check_size(self) -> None:
        received, total = self._received, self._total
        if total is not None and received < total:
            raise InterruptedDownloadError(f"the connection was closed after {received} of {total} bytes")
        if total is not None and received > total:
            self._restart()
            raise InterruptedDownloadError(f"the server sent {received} bytes instead of {total}")
        if self._decoder is not None and not self._decoder.is_complete:
            self._restart()
            raise InterruptedDownloadError(f"its compressed data is truncated after {received} bytes")

    def _identify(self, content_type: str | None) -> MediaType:
        media_type = media_types.identify(self._head, content_type)
        stated = sanitize(content_type, "") or "none"
        if media_type is None or (self._decoder is not None and not media_type.is_certain):
            raise ResultCorruptError(f"Not a media file: its content type is {stated}, it begins {self._head[:24]!r}.")
        if not media_type.is_certain:
            log.warning(
                "Unknown media type; using the server's content type (%s). The file begins %r.", stated, self._head[:24]
            )
        return media_type

    def _finish(self, *, is_end_known: bool) -> Download:
        with self._disk_errors():
            digest = self._writer.finish()
        if not is_end_known and digest != self._unconfirmed_digest:
            self._unconfirmed_digest = digest
            raise InterruptedDownloadError("the server states no length, and has not sent the same bytes twice")
        return Download(self._size, digest, self._media_type or media_types.BINARY)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Keep a full disk apart from a network failure: another request would not help."""
        try:
            yield
        except OSError as error:
            raise LandingError(
                f"This worker can't store the file after {self._size} bytes: {error.strerror}."
            ) from error
