# SPDX-License-Identifier: Apache-2.0
"""EvoLink's endpoints as an asynchronous client; :func:`run` calls it from synchronous code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import tenacity

from airflow_provider_evolink.api import generation, responses, task_list
from airflow_provider_evolink.api.errors import (
    ApiError,
    ConnectionLostError,
    EvoLinkError,
    InvalidInputError,
    InvalidResponseError,
    NotSentError,
    RateLimitedError,
    ServerError,
)
from airflow_provider_evolink.api.event_loop import DaemonResolverEventLoop, outside_event_loop
from airflow_provider_evolink.api.files_client import FilesClient
from airflow_provider_evolink.api.generation import MAX_BATCH, Credits, Generation, Submission
from airflow_provider_evolink.api.idempotency import check_idempotency_key
from airflow_provider_evolink.api.responses import ApiResponse, RequestContext, completing_errors
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transports.base import ApiRequest, RequestSender, Transport
from airflow_provider_evolink.api.transports.httpx_transport import HttpxTransport

T = TypeVar("T")

_BACK_OFF = tenacity.wait_exponential(multiplier=0.5, max=8) + tenacity.wait_random(0, 0.5)
_READ_COST = "Reads are free."
_STATUS_READ_COST = "Reads are free and change nothing at EvoLink."
_TRANSIENT: tuple[type[EvoLinkError], ...] = (
    NotSentError,
    RateLimitedError,
    ServerError,
    ConnectionLostError,
    InvalidResponseError,
)


class EvoLinkClient:
    """Call the endpoints of one EvoLink account; use it as an async context manager.

    :param settings: host, API key, timeouts, TLS and proxy.
    :param attempts: how many times a read or an upload that fails transiently is sent, in total; 1 by default. A
        submission is always sent once: whether to repeat it is decided where its ledger is kept.
    :param transport: sends the requests; httpx by default.
    :ivar files: the account's files, on a host of their own.
    """

    def __init__(self, settings: Settings, *, attempts: int = 1, transport: Transport | None = None) -> None:
        self.settings = settings
        self._attempts = attempts
        self._sender = RequestSender(transport or HttpxTransport(settings), settings.conn_id)
        self.files = FilesClient(settings, self._exchange_value)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def disconnect(self) -> None:
        """Free the memory that idle connections hold, before a long pause; the next request opens new ones."""
        await self._sender.disconnect()

    async def close(self) -> None:
        """Close all connections, for good."""
        await self._sender.close()

    async def submit(self, endpoint: str, body: bytes, idempotency_key: str) -> Submission:
        """Send the paid request once.

        :param endpoint: such as ``/v1/videos/generations``.
        :param body: the request as JSON, from :func:`~airflow_provider_evolink.api.request.encode_body`.
        :param idempotency_key: 16 to 96 characters of ``[A-Za-z0-9._-]``. EvoLink's own clients send it in both
            headers used here; the API manual does not mention it.
        :return: the accepted generation, and whether EvoLink recognized the idempotency key.
        :raises InvalidInputError: the idempotency key has another form; nothing was sent.
        :raises ApiError: EvoLink responded with an error.
        :raises NotSentError: the request never left this machine.
        :raises ConnectionLostError, InvalidResponseError: whether it was accepted is unknown.
        """
        check_idempotency_key(idempotency_key)
        request = ApiRequest(
            "POST",
            self.settings.base_url + endpoint,
            RequestContext("the submission", "Nothing was charged.", unknown_cost="Whether it was charged is unknown."),
            content=body,
            headers={
                "Content-Type": "application/json",
                "Idempotency-Key": idempotency_key,
                "X-Evo-Run-Id": idempotency_key,
            },
            read_timeout=self.settings.submit_timeout,
            is_paid=True,
        )
        with _stating_charge():
            response, value = await self._exchange(request)
        with completing_errors(request.context):
            accepted = generation.parse_generation(value, default_status="pending")
        is_replayed = response.headers.get("idempotency-replayed", "").strip().lower() == "true"
        return Submission(accepted, is_replayed)

    async def generation(self, generation_id: str) -> Generation:
        """Read one generation (``GET /v1/tasks/{id}``, documented, free).

        :raises GenerationNotFoundError: this account does not have it, or no longer has it.
        :raises EvoLinkError: it could not be read.
        """
        _check_id(generation_id)
        context = RequestContext(f"the status request for generation {generation_id}", _STATUS_READ_COST, generation_id)
        _, value = await self._exchange(self._get(f"/v1/tasks/{quote(generation_id, safe=':')}", context))
        with completing_errors(context):
            return generation.parse_generation(value, expected_id=generation_id)

    async def generations(self, generation_ids: Iterable[str]) -> dict[str, Generation]:
        """Read many generations at once (``POST /v1/tasks/batch``, free; undocumented, known from EvoLink's clients).

        :param generation_ids: at most 50.
        :return: generations by id, without those that EvoLink does not know.
        :raises InvalidInputError: more ids, or a malformed one; nothing was sent.
        :raises EvoLinkError: they could not be read.
        """
        ids = list(dict.fromkeys(generation_ids))
        if len(ids) > MAX_BATCH:
            raise InvalidInputError("generation_ids", len(ids), f"at most {MAX_BATCH} ids at once")
        for generation_id in ids:
            _check_id(generation_id)
        request = ApiRequest(
            "POST",
            f"{self.settings.base_url}/v1/tasks/batch",
            RequestContext(f"the status request for {len(ids)} generations", _STATUS_READ_COST),
            content=_encode({"task_ids": ids}),
            headers={"Content-Type": "application/json"},
            read_timeout=self.settings.timeout,
        )
        _, value = await self._exchange(request)
        with completing_errors(request.context):
            return generation.parse_batch(value)

    async def task_page(self, number: int, *, status: str, model: str | None = None) -> task_list.TaskPage:
        """Read a page of the account's generations, newest first; see :mod:`~airflow_provider_evolink.api.task_list`.

        :raises InvalidInputError: EvoLink can't filter by that status; nothing was sent.
        :raises EvoLinkError: it could not be read.
        """
        path = task_list.page_path(number, status=status, model=model)
        context = RequestContext("the request for the list of generations", _READ_COST)
        _, value = await self._exchange(self._get(path, context))
        with completing_errors(context):
            return task_list.parse_page(value, number)

    async def credits(self) -> Credits:
        """Read the remaining credits (``GET /v1/credits``, documented, free)."""
        context = RequestContext("the credits request", _READ_COST)
        _, value = await self._exchange(self._get("/v1/credits", context))
        with completing_errors(context):
            return generation.parse_credits(value)

    def _get(self, path: str, context: RequestContext) -> ApiRequest:
        return ApiRequest("GET", self.settings.base_url + path, context, read_timeout=self.settings.timeout)

    async def _exchange_value(self, request: ApiRequest) -> Any:
        _, value = await self._exchange(request)
        return value

    async def _exchange(self, request: ApiRequest) -> tuple[ApiResponse, Any]:
        if self._attempts == 1 or request.is_paid:
            return await self._exchange_once(request)
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            retry=tenacity.retry_if_exception_type(_TRANSIENT),
            wait=_pause,
            reraise=True,
        )
        outcome: tuple[ApiResponse, Any] = await retrying(self._exchange_once, request)
        return outcome

    async def _exchange_once(self, request: ApiRequest) -> tuple[ApiResponse, Any]:
        response = await self._sender.send(request)
        secret = self.settings.api_key
        return response, responses.parse_response(response, request.context, secret=secret, now=datetime.now(UTC))


def make_concurrent_client(settings: Settings, *, attempts: int = 1) -> EvoLinkClient:
    """Make a client for many requests at a time: over aiohttp, unless they go through a proxy.

    :param attempts: see :class:`EvoLinkClient`.
    """
    from airflow_provider_evolink.api.transports.aiohttp_transport import AiohttpTransport, is_reachable_without_proxy

    transport = AiohttpTransport(settings) if is_reachable_without_proxy(settings) else None
    return EvoLinkClient(settings, attempts=attempts, transport=transport)


def run(operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run an operation of the client to completion from synchronous code.

    :param operation: creates the coroutine. It runs in an event loop of its own, in another thread if this one already
        has a running loop. The loop ends with the operation, even if a name lookup that timed out still hangs.
    """
    return outside_event_loop(lambda: _run(operation))


def _run(operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=DaemonResolverEventLoop) as runner:
        return runner.run(operation())


@contextmanager
def _stating_charge() -> Iterator[None]:
    """State in the error of a submission that was certainly not accepted that nothing was charged."""
    try:
        yield
    except (NotSentError, ApiError) as error:
        if not isinstance(error, ServerError):
            error.charged = False
        raise


def _check_id(generation_id: str) -> None:
    if not generation.is_generation_id(generation_id):
        raise InvalidInputError("generation_id", generation_id, f"an id such as {generation.EXAMPLE_ID}")


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    retry_after = error.retry_after if isinstance(error, EvoLinkError) else None
    return _BACK_OFF(state) if retry_after is None else retry_after
