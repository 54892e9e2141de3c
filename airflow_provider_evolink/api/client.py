# SPDX-License-Identifier: Apache-2.0
"""
EvoLink's endpoints.

One asynchronous client serves everybody; :func:`run` is its synchronous face.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import tenacity

from airflow_provider_evolink.api import generation, responses
from airflow_provider_evolink.api.errors import (
    ConnectionLostError,
    EvoLinkError,
    InvalidInputError,
    InvalidResponseError,
    NotSentError,
    RateLimitedError,
    ServerError,
)
from airflow_provider_evolink.api.generation import MAX_BATCH, Credits, Generation, Submission
from airflow_provider_evolink.api.prompt_loop import PromptEventLoop
from airflow_provider_evolink.api.responses import ApiResponse, RequestContext
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transports.base import ApiRequest, RequestSender, Transport
from airflow_provider_evolink.api.transports.httpx_transport import HttpxTransport

T = TypeVar("T")

_UPLOAD_SECONDS = 120.0
_BACK_OFF = tenacity.wait_exponential(multiplier=0.5, max=8) + tenacity.wait_random(0, 0.5)
_UNPAID = "Asking costs nothing."
_STILL_THERE = "The generation goes on at EvoLink, and asking costs nothing."
_TRANSIENT: tuple[type[EvoLinkError], ...] = (
    NotSentError,
    RateLimitedError,
    ServerError,
    ConnectionLostError,
    InvalidResponseError,
)


class EvoLinkClient:
    """
    Speaks to one EvoLink account; use it as an async context manager.

    :param settings: where, with which key, and how patiently.
    :param attempts: how often a read that failed in passing is sent, all in all. A submission is sent once: whether it
        is repeated is the decision of who keeps the record of it.
    :param carrier: takes calls to the account; httpx unless given.
    """

    def __init__(self, settings: Settings, *, attempts: int = 1, transport: Transport | None = None) -> None:
        self.settings = settings
        self._attempts = attempts
        self._sender = RequestSender(transport or HttpxTransport(settings))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._sender.close()

    async def submit(self, endpoint: str, body: bytes, idempotency_key: str) -> Submission:
        """
        Send the paid request once.

        :param endpoint: such as ``/v1/videos/generations``.
        :param body: the request as JSON, as :func:`request.encode_body` makes it.
        :param idempotency_key: 16 to 96 characters of ``[A-Za-z0-9._-]``. EvoLink's own clients send it under both
            headers used here; the API manual does not mention it.
        :return: the accepted generation, and whether EvoLink recognised the key.
        :raises ApiError: EvoLink answered with an error.
        :raises NotSentError: it never left.
        :raises ConnectionLostError, InvalidResponseError: what became of it is not known.
        """
        request = ApiRequest(
            "POST",
            self.settings.base_url + endpoint,
            RequestContext(
                "the submission", "Nothing was charged.", unknown_cost="Whether it was charged is not known."
            ),
            content=body,
            headers={
                "Content-Type": "application/json",
                "Idempotency-Key": idempotency_key,
                "X-Evo-Run-Id": idempotency_key,
            },
            seconds=self.settings.submit_timeout,
            is_paid=True,
        )
        response, value = await self._exchange(request)
        return Submission(
            generation=generation.parse_generation(value, default_status="pending"),
            replayed=response.headers.get("idempotency-replayed", "").strip().lower() == "true",
        )

    async def generation(self, generation_id: str) -> Generation:
        """
        Read one generation (``GET /v1/tasks/{id}``, documented, free).

        :raises GenerationNotFoundError: this account has no such generation, or has it no more.
        :raises EvoLinkError: it could not be asked.
        """
        _check_id(generation_id)
        context = RequestContext(f"the question for generation {generation_id}", _STILL_THERE, generation_id)
        _, value = await self._exchange(self._read(f"/v1/tasks/{quote(generation_id, safe=':')}", context))
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
        request = ApiRequest(
            "POST",
            f"{self.settings.base_url}/v1/tasks/batch",
            RequestContext(f"the question for {len(ids)} generations", _STILL_THERE),
            content=_encode({"task_ids": ids}),
            headers={"Content-Type": "application/json"},
            seconds=self.settings.timeout,
        )
        _, value = await self._exchange(request)
        return generation.parse_batch(value)

    async def credits(self) -> Credits:
        """Read what is left (``GET /v1/credits``, documented, free)."""
        _, value = await self._exchange(self._read("/v1/credits", RequestContext("the question for credits", _UNPAID)))
        return generation.parse_credits(value)

    async def upload(self, path: Path, content_type: str) -> str:
        """
        Upload a file and return the public URL under which EvoLink keeps it for 72 hours (documented).

        :param content_type: png, jpeg, webp and gif are documented.
        """
        with path.open("rb") as file:
            request = ApiRequest(
                "POST",
                f"{self.settings.files_url}/api/v1/files/upload/stream",
                RequestContext("the upload", "An upload costs nothing."),
                files={"file": (path.name, file, content_type)},
                seconds=_UPLOAD_SECONDS,
            )
            _, value = await self._exchange(request)
        return generation.parse_upload(value)

    def _read(self, path: str, context: RequestContext) -> ApiRequest:
        return ApiRequest("GET", self.settings.base_url + path, context, seconds=self.settings.timeout)

    async def _exchange(self, request: ApiRequest) -> tuple[ApiResponse, Any]:
        if self._attempts == 1 or request.is_paid:
            return await self._attempt(request)
        repeated = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            retry=tenacity.retry_if_exception_type(_TRANSIENT),
            wait=_pause,
            reraise=True,
        )
        outcome: tuple[ApiResponse, Any] = await repeated(self._attempt, request)
        return outcome

    async def _attempt(self, request: ApiRequest) -> tuple[ApiResponse, Any]:
        response = await self._sender.send(request)
        secret = self.settings.api_key
        return response, responses.parse_response(response, request.context, secret=secret, now=datetime.now(UTC))


def run(operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """
    Run an operation of the client to its end, from code that is not asynchronous.

    :param operation: makes the coroutine; it runs in an event loop of its own, in another thread if this one
        already has a running loop. It ends with the operation, even if a name look-up that was given up still hangs.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(operation)
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="evolink") as pool:
        return pool.submit(context.run, _run, operation).result()


def _run(operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=PromptEventLoop) as runner:
        return runner.run(operation())


def _check_id(generation_id: str) -> None:
    if not generation.is_generation_id(generation_id):
        raise InvalidInputError("generation_id", generation_id, "an id such as task-unified-1757169743-7cvnl5zw")


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    told = error.retry_after if isinstance(error, EvoLinkError) else None
    return told if told is not None else _BACK_OFF(state)
