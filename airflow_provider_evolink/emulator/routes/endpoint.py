# SPDX-License-Identifier: Apache-2.0
"""What every endpoint of EvoLink's API has in common: request counters, API keys, the query limit and faults."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from airflow_provider_evolink.emulator.errors import ApiError, error_response
from airflow_provider_evolink.emulator.faults.effects import apply_fault
from airflow_provider_evolink.emulator.faults.interception import InterceptedRequest
from airflow_provider_evolink.emulator.media.render_pool import RenderPool
from airflow_provider_evolink.emulator.media.rendering import RenderCancelledError
from airflow_provider_evolink.emulator.routes.context import RequestContext
from airflow_provider_evolink.emulator.state.backend import Backend

# A query for one generation and one for a batch count alike.
RATE_LIMITED = frozenset({"read", "batch"})

Handler = Callable[[RequestContext], Awaitable[Response]]


class Endpoint:
    """An endpoint of EvoLink's API, as an ASGI application.

    :param name: its name in faults and request counters.
    :param handler: responds to a request that is let through.
    :param get_backend: returns the present backend; a reset replaces it.
    :param renderer: renders files.
    :param is_public: whether it accepts requests without an API key.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        get_backend: Callable[[], Backend],
        renderer: RenderPool,
        *,
        is_public: bool = False,
    ) -> None:
        self._name = name
        self._handler = handler
        self._get_backend = get_backend
        self._renderer = renderer
        self._is_public = is_public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request, with a fault if one fires."""
        backend = self._get_backend()
        backend.requests[self._name] += 1
        receive = backend.api_key_leaks.inspect(scope, receive, requires_api_key=not self._is_public)
        fault = backend.faults.fire(self._name, "response")
        with suppress(ClientDisconnect, RenderCancelledError):  # nobody is waiting for the response
            if fault:
                await apply_fault(fault, InterceptedRequest(self._name, self._handle, scope, receive, send))
            else:
                await self._handle(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        backend = self._get_backend()
        try:
            if not self._is_public:
                api_key = _authenticate(request, backend.settings.api_keys)
                if self._name in RATE_LIMITED:
                    backend.query_limit.acquire(api_key)
            return await self._handler(RequestContext(request, backend, self._renderer))
        except ApiError as error:
            return error_response(self._name, error.status, **error.fields)


def _authenticate(request: Request, api_keys: tuple[str, ...]) -> str:
    scheme, _, api_key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or api_key not in api_keys:
        raise ApiError(401)
    return api_key
