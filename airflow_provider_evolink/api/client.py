# SPDX-License-Identifier: Apache-2.0
"""
EvoLink's endpoints over httpx: the only room that knows httpx.

One asynchronous client serves everybody; :func:`run` is its synchronous face. A request is described once as a
:class:`_Call` and sent by one method, which bounds its time, its bytes and how many are in flight.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import ssl
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import tenacity

from airflow_provider_evolink import __version__
from airflow_provider_evolink.api import answers, generation
from airflow_provider_evolink.api.answers import Answer, Question
from airflow_provider_evolink.api.errors import (
    ConfigurationError,
    ConnectionLostError,
    EvoLinkError,
    InvalidInputError,
    MalformedAnswerError,
    NotSentError,
    RateLimitedError,
    ServerError,
)
from airflow_provider_evolink.api.generation import Credits, Generation, Submission
from airflow_provider_evolink.api.settings import Settings

T = TypeVar("T")

USER_AGENT = f"airflow-provider-evolink/{__version__}"
# Seen in EvoLink's own clients; undocumented.
MAX_BATCH = 50
MAX_CONNECTIONS = 8
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_CONNECT_SECONDS = 5.0
_KEEP_ALIVE_SECONDS = 75.0
_UPLOAD_SECONDS = 120.0

_NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
_BACK_OFF = tenacity.wait_exponential(multiplier=0.5, max=8) + tenacity.wait_random(0, 0.5)
_UNPAID = "Asking costs nothing."
_STILL_THERE = "The generation goes on at EvoLink, and asking costs nothing."


@dataclass(frozen=True, slots=True)
class _Call:
    """One request, and what its failure means."""

    method: str
    url: str
    question: Question
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Any] | None = None
    seconds: float = 15.0
    is_paid: bool = False

    def may_repeat(self, error: BaseException) -> bool:
        """Whether sending it once more can't cost anything: a paid request only if nothing came of it."""
        harmless: tuple[type[EvoLinkError], ...] = (NotSentError, RateLimitedError)
        passing = (*harmless, ServerError, ConnectionLostError, MalformedAnswerError)
        return isinstance(error, harmless if self.is_paid else passing)


class EvoLinkClient:
    """
    Speaks to one EvoLink account; use it as an async context manager.

    :param settings: where, with which key, and how patiently.
    :param attempts: how often a request that failed in passing is sent, all in all. A submission is only repeated
        when it never left or was turned away with 429; every other repetition is the caller's decision.
    :param transport: replaces the network, for tests.
    """

    def __init__(
        self, settings: Settings, *, attempts: int = 1, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.settings = settings
        self._attempts = attempts
        # httpcore's pool slows with every queued request, so none may queue there.
        self._gate = asyncio.Semaphore(MAX_CONNECTIONS)
        self._http = _http_client(settings, transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def submit(self, endpoint: str, body: bytes, idempotency_key: str) -> Submission:
        """
        Send the paid request once.

        :param endpoint: such as ``/v1/videos/generations``.
        :param body: the request as JSON, as :func:`validation.encode_body` makes it.
        :param idempotency_key: 16 to 96 characters of ``[A-Za-z0-9._-]``. EvoLink's own clients send it under both
            headers used here; the API manual does not mention it.
        :return: the accepted generation, and whether EvoLink recognised the key.
        :raises ApiError: EvoLink answered with an error.
        :raises NotSentError: it never left.
        :raises ConnectionLostError, MalformedAnswerError: what became of it is not known.
        """
        call = _Call(
            "POST",
            self.settings.base_url + endpoint,
            Question("the submission", "Whether it was charged is for the ledger to settle."),
            content=body,
            headers={
                "Content-Type": "application/json",
                "Idempotency-Key": idempotency_key,
                "X-Evo-Run-Id": idempotency_key,
            },
            seconds=self.settings.submit_timeout,
            is_paid=True,
        )
        answer, value = await self._exchange(call)
        return Submission(
            generation=generation.parse_generation(value),
            replayed=answer.headers.get("idempotency-replayed", "").strip().lower() == "true",
        )

    async def generation(self, generation_id: str) -> Generation:
        """
        Read one generation (``GET /v1/tasks/{id}``, documented, free).

        :raises GenerationNotFoundError: this account has no such generation, or has it no more.
        :raises EvoLinkError: it could not be asked.
        """
        _check_id(generation_id)
        question = Question(f"the question for generation {generation_id}", _STILL_THERE, generation_id)
        _, value = await self._exchange(self._read(f"/v1/tasks/{quote(generation_id, safe=':')}", question))
        return generation.parse_generation(value, expected_id=generation_id)

    async def generations(self, generation_ids: Iterable[str]) -> dict[str, Generation]:
        """
        Read many generations at once (``POST /v1/tasks/batch``, at most 50, seen in EvoLink's clients only).

        :return: by id; ids that EvoLink does not know are absent.
        """
        ids = list(dict.fromkeys(generation_ids))
        if len(ids) > MAX_BATCH:
            raise InvalidInputError("generation_ids", len(ids), f"at most {MAX_BATCH} at once")
        for generation_id in ids:
            _check_id(generation_id)
        call = _Call(
            "POST",
            f"{self.settings.base_url}/v1/tasks/batch",
            Question(f"the question for {len(ids)} generations", _STILL_THERE),
            content=answers.encode({"task_ids": ids}),
            headers={"Content-Type": "application/json"},
            seconds=self.settings.timeout,
        )
        _, value = await self._exchange(call)
        return generation.parse_batch(value)

    async def credits(self) -> Credits:
        """Read what is left (``GET /v1/credits``, documented, free)."""
        _, value = await self._exchange(self._read("/v1/credits", Question("the question for credits", _UNPAID)))
        return generation.parse_credits(value)

    async def upload(self, path: Path, content_type: str) -> str:
        """
        Upload a file and return the public URL under which EvoLink keeps it for 72 hours (documented).

        :param content_type: png, jpeg, webp and gif are documented.
        """
        with path.open("rb") as file:
            call = _Call(
                "POST",
                f"{self.settings.files_url}/api/v1/files/upload/stream",
                Question("the upload", "An upload costs nothing."),
                files={"file": (path.name, file, content_type)},
                seconds=_UPLOAD_SECONDS,
            )
            _, value = await self._exchange(call)
        return generation.parse_upload(value)

    def _read(self, path: str, question: Question) -> _Call:
        return _Call("GET", self.settings.base_url + path, question, seconds=self.settings.timeout)

    async def _exchange(self, call: _Call) -> tuple[Answer, Any]:
        repeated = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            retry=tenacity.retry_if_exception(call.may_repeat),
            wait=_pause,
            reraise=True,
        )
        outcome: tuple[Answer, Any] = await repeated(self._attempt, call)
        return outcome

    async def _attempt(self, call: _Call) -> tuple[Answer, Any]:
        answer = await self._send(call)
        secret = self.settings.api_key
        return answer, answers.decode(answer, call.question, secret=secret, now=datetime.now(UTC))

    async def _send(self, call: _Call) -> Answer:
        timeout = httpx.Timeout(call.seconds, connect=_CONNECT_SECONDS, pool=call.seconds)
        try:
            async with (
                self._gate,
                asyncio.timeout(2 * call.seconds + _CONNECT_SECONDS),
                self._http.stream(
                    call.method,
                    call.url,
                    content=call.content,
                    files=call.files,
                    headers=dict(call.headers),
                    timeout=timeout,
                ) as response,
            ):
                return Answer(response.status_code, response.headers, await _bounded(response, call.question))
        except _NEVER_LEFT as error:
            raise _not_sent(call.question, error) from error
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            # Without its cause, which may quote what came: an echo of the key.
            raise _lost(call.question, error) from None


def run(operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """
    Run an operation of the client to its end, from code that is not asynchronous.

    :param operation: makes the coroutine; it runs in an event loop of its own, in another thread if this one
        already has a running loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(operation())
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="evolink") as pool:
        return pool.submit(context.run, asyncio.run, operation()).result()


@functools.lru_cache(maxsize=8)
def tls_context(verify: bool | str) -> ssl.SSLContext:
    """One TLS context per process and CA bundle: building one costs 40 ms and 0.8 MiB."""
    if verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return httpx.create_ssl_context()


def _http_client(settings: Settings, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    is_plain = settings.base_url.startswith("http://")
    try:
        return httpx.AsyncClient(
            headers={
                "Authorization": f"Bearer {settings.api_key}",
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                # Answers are small, and what is not unpacked can't be a bomb.
                "Accept-Encoding": "identity",
            },
            verify=False if is_plain else tls_context(settings.verify),
            proxy=settings.proxy,
            # A proxy of the environment must not see plain requests meant for this machine.
            trust_env=not is_plain,
            transport=transport,
            follow_redirects=False,
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=_KEEP_ALIVE_SECONDS,
            ),
        )
    except (ValueError, OSError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"The connection's verify or proxy setting can't be used ({type(error).__name__}). Nothing was sent."
        ) from None


def _check_id(generation_id: str) -> None:
    if not generation.is_generation_id(generation_id):
        raise InvalidInputError("generation_id", generation_id, "an id such as task-unified-1757169743-7cvnl5zw")


async def _bounded(response: httpx.Response, question: Question) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise MalformedAnswerError(
                f"Something answered {question.what} with more than {_MAX_ANSWER_BYTES} bytes. {question.cost} "
                "A retry may reach EvoLink itself.",
                generation_id=question.generation_id,
            )
    return bytes(body)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    told = error.retry_after if isinstance(error, RateLimitedError | ServerError) else None
    return told if told is not None else _BACK_OFF(state)


def _not_sent(question: Question, error: Exception) -> NotSentError:
    return NotSentError(
        f"EvoLink could not be reached for {question.what} ({type(error).__name__}: {error}). "
        "The request never left, so nothing was charged. A retry is safe.",
        generation_id=question.generation_id,
    )


def _lost(question: Question, error: Exception) -> ConnectionLostError:
    return ConnectionLostError(
        f"EvoLink's answer to {question.what} was lost ({type(error).__name__}). {question.cost} A retry asks again.",
        generation_id=question.generation_id,
    )
