# SPDX-License-Identifier: Apache-2.0
"""
Fetches one link into a file until it is whole, in constant memory.

Whole means: as many bytes as the server promised, of a kind that is media. A server that promises no number
has to send the same bytes twice, since a cut connection then looks like the end of the file.
"""

from __future__ import annotations

import http.client
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from airflow_provider_evolink.api import answers
from airflow_provider_evolink.api.errors import LandingError, ResultCorruptError, ResultExpiredError
from airflow_provider_evolink.landing import kinds, resume
from airflow_provider_evolink.landing.kinds import Kind
from airflow_provider_evolink.landing.resume import Position, Verdict
from airflow_provider_evolink.landing.sink import Sink
from airflow_provider_evolink.landing.source import Network, Response, open_link

_DICE = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Limits:
    """
    How much is taken, and how patiently.

    :param max_bytes: of one file.
    :param tries: failures in a row after which a download is given up; moving on by ``progress`` bytes starts
        the count again.
    :param slowest: bytes a second, over ``window`` seconds, below which an answer counts as cut.
    """

    max_bytes: int = 5 * 1024**3
    tries: int = 6
    progress: int = 1024 * 1024
    slowest: float = 1024.0
    window: float = 60.0


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Download:
    """What has come: its size, its SHA-256 in hexadecimal, and its kind."""

    bytes: int
    sha256: str
    kind: Kind


class _InterruptedError(Exception):
    """This try has failed, another may not."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def download(
    link: str,
    spool: BinaryIO,
    network: Network,
    limits: Limits = LIMITS,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Download:
    """
    Fetch a link into an empty file.

    A cut download is resumed where the server takes ``Range``, and begun again where it does not.

    :param spool: open for reading and writing; holds the whole file afterwards.
    :param sleep: waits between tries.
    :raises ResultExpiredError: the link is dead.
    :raises ResultRefusedError: the link leads where this package must not follow.
    :raises ResultCorruptError: what came is no media, or more than was promised or allowed.
    :raises LandingError: it did not come whole within the bounds.
    """
    with Sink(spool) as sink:
        copy, patience = _Copy(sink, limits), _Patience(limits)
        while True:
            try:
                with open_link(link, resume.request_headers(copy.position), network) as response:
                    return copy.receive(response)
            except (_InterruptedError, OSError, http.client.HTTPException) as error:
                wait = patience.after(error, copy.position.have)
            sleep(wait)


class _Patience:
    """Counts failures, as long as nothing more comes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._failures = 0
        self._furthest = 0

    def after(self, error: Exception, have: int) -> float:
        """Return the seconds to wait after a failure with so many bytes there, or give up."""
        moved = have >= self._furthest + self._limits.progress
        self._furthest = max(self._furthest, have)
        self._failures = 1 if moved else self._failures + 1
        if self._failures >= self._limits.tries:
            tries = f"{self._failures} tries in a row"
            raise LandingError(f"It did not come whole in {tries}: {_reason(error)}.") from error
        told = error.retry_after if isinstance(error, _InterruptedError) else None
        return resume.pause(self._failures, told, chance=_DICE.random())


class _Copy:
    """A file on its way: what has come so far, and what is known about the rest."""

    def __init__(self, sink: Sink, limits: Limits) -> None:
        self._sink = sink
        self._limits = limits
        self._have = 0
        self._total: int | None = None
        self._validator: str | None = None
        self._head = b""
        self._kind: Kind | None = None
        self._unconfirmed: str | None = None

    @property
    def position(self) -> Position:
        """How far it is."""
        return Position(self._have, self._total, self._validator)

    def receive(self, response: Response) -> Download:
        """Take an answer; what it means for the file follows from what is there already."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        verdict = resume.judge(response.status, headers, self.position)
        match verdict:
            case Verdict.WHOLE:
                self._begin(response.length, resume.validator_of(headers))
            case Verdict.REST:
                self._expect(resume.total_of(headers))
            case Verdict.UNFIT:
                self._begin()
                raise _InterruptedError(f"the server answered a wish for the rest with HTTP {response.status}")
            case Verdict.LATER:
                wait = answers.retry_after(headers, datetime.now(UTC))
                raise _InterruptedError(f"the server answered HTTP {response.status}", wait)
            case Verdict.GONE:
                raise ResultExpiredError(f"Its link answers HTTP {response.status}.")
            case Verdict.REFUSED:
                raise ResultCorruptError(f"Its link answers HTTP {response.status}, which is no file.")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise ResultCorruptError("The server sent it compressed, though it was asked not to.")
        self._pump(response, headers.get("content-type"))
        return self._finish(proven=response.chunked or self._total is not None)

    def _begin(self, total: int | None = None, validator: str | None = None) -> None:
        with self._spooling():
            self._sink.restart()
        self._have, self._validator = 0, validator
        self._head, self._kind = b"", None
        self._expect(total)

    def _expect(self, total: int | None) -> None:
        self._total = total
        self._check_bound(total or 0)

    def _check_bound(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise ResultCorruptError(f"It has {size} bytes or more; {self._limits.max_bytes} are allowed.")

    def _pump(self, response: Response, stated: str | None) -> None:
        try:
            since, mark = time.monotonic(), self._have
            while self._take(response):
                if self._kind is None and self._have >= kinds.HEAD_BYTES:
                    self._kind = self._look(stated)
                if (now := time.monotonic()) - since >= self._limits.window:
                    if self._have - mark < self._limits.slowest * self._limits.window:
                        raise _InterruptedError("it came too slowly")
                    since, mark = now, self._have
        finally:
            with self._spooling():
                self._sink.settle()
        self._check_size()
        self._kind = self._kind or self._look(stated)

    def _take(self, response: Response) -> int:
        free = self._sink.free
        count = response.read_some(free)
        if len(self._head) < kinds.HEAD_BYTES:
            self._head += free[: min(count, kinds.HEAD_BYTES - len(self._head))]
        with self._spooling():
            self._sink.took(count)
        self._have += count
        self._check_bound(self._have)
        return count

    def _check_size(self) -> None:
        have, total = self._have, self._total
        if total is not None and have < total:
            raise _InterruptedError(f"the connection ended after {have} of {total} bytes")
        if total is not None and have > total:
            self._begin()
            raise _InterruptedError(f"{have} bytes came where {total} were promised")

    def _look(self, stated: str | None) -> Kind:
        kind = kinds.identify(self._head, stated)
        if kind is None:
            said = answers.clean(stated, "") or "no content type"
            raise ResultCorruptError(f"It is no media: the server says {said}, and it begins with {self._head[:24]!r}.")
        return kind

    def _finish(self, *, proven: bool) -> Download:
        with self._spooling():
            digest = self._sink.finish()
        if not proven and digest != self._unconfirmed:
            self._unconfirmed = digest
            raise _InterruptedError("the server does not say how long it is, and has not sent the same twice")
        return Download(self._have, digest, self._kind or kinds.BINARY)

    @contextmanager
    def _spooling(self) -> Iterator[None]:
        """Keep a full disk apart from a broken network: asking again would not help."""
        try:
            yield
        except OSError as error:
            raise LandingError(f"This machine can't hold it after {self._have} bytes: {error.strerror}.") from error


def _reason(error: Exception) -> str:
    if isinstance(error, _InterruptedError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "the server fell silent"
    return f"{type(error).__name__} {answers.clean(str(error), '') or ''}".strip()
