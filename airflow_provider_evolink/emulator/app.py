# SPDX-License-Identifier: Apache-2.0
"""The emulator as an ASGI application: which path leads where, and what happens on the way."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_evolink.emulator import downloads, files, panel, queries, submissions
from airflow_provider_evolink.emulator.call import Call
from airflow_provider_evolink.emulator.exchange import Exchange, tagged
from airflow_provider_evolink.emulator.misbehaviour import misbehave
from airflow_provider_evolink.emulator.refusals import RefusedError, refuse
from airflow_provider_evolink.emulator.render import RenderingStoppedError
from airflow_provider_evolink.emulator.settings import Settings
from airflow_provider_evolink.emulator.studio import Studio
from airflow_provider_evolink.emulator.world import World

# A query about one generation and one about many count alike.
LIMITED = frozenset({"read", "batch"})

Handler = Callable[[Call], Awaitable[Response]]
Control = Callable[[dict[str, Any]], dict[str, Any]]


class Emulator:
    """A local EvoLink.

    :param settings: how it starts, and starts anew after a reset.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.world = World(settings)
        self.studio = Studio(settings.media_dir)

    def reset(self) -> dict[str, Any]:
        """Forget everything, faults included; return the new state."""
        self.world = World(self.settings)
        return self.world.describe()

    def application(self) -> ASGIApp:
        """Build the ASGI application."""
        app = Starlette(routes=[*self._evolink(), *self._controls()], exception_handlers={404: self._no_such_path})
        return tagged(app, lambda: {"x-request-id": uuid.uuid4().hex})

    async def _no_such_path(self, request: Request, _error: Exception) -> Response:
        self.world.leaks.watch(request.scope, request.receive, takes_key=True)
        return refuse("submit", 404, message=f"Invalid URL ({request.method} {request.url.path})")

    def _evolink(self) -> list[Route]:
        def route(path: str, method: str, name: str, handler: Handler, *, is_open: bool = False) -> Route:
            return Route(path, Endpoint(self, name, handler, is_open), methods=[method])

        return [
            *(route(path, "POST", "submit", submissions.submit) for path in submissions.KINDS),
            route("/v1/tasks/batch", "POST", "batch", queries.batch),
            route("/v1/tasks/{task_id}", "GET", "read", queries.read),
            route("/v1/tasks", "GET", "list", queries.list_all),
            route("/v1/credits", "GET", "credits", queries.balance),
            route("/v1/models", "GET", "models", queries.models),
            route("/api/v1/files/upload/base64", "POST", "upload", files.upload_base64),
            route("/api/v1/files/upload/stream", "POST", "upload", files.upload_stream),
            route("/api/v1/files/quota", "GET", "quota", files.quota),
            route("/api/v1/files/download/{file_id}", "GET", "media", downloads.download_by_id, is_open=True),
            route("/media/{path:path}", "GET", "media", downloads.download, is_open=True),
        ]

    def _controls(self) -> list[Route]:
        def route(name: str, method: str, control: Control) -> Route:
            async def endpoint(request: Request) -> Response:
                if not panel.is_local(request):
                    return JSONResponse({"error": "only for clients on this machine"}, 403)
                try:
                    return JSONResponse(control(await request.json() if method == "POST" else {}))
                except (TypeError, ValueError) as error:
                    return JSONResponse({"error": str(error)}, 400)

            return Route(f"/_emulator/{name}", endpoint, methods=[method])

        return [
            route("state", "GET", lambda _: self.world.describe()),
            route("faults", "POST", lambda wanted: panel.inject(self.world, wanted)),
            route("clock", "POST", lambda wanted: panel.set_clock(self.world, wanted)),
            route("settings", "POST", lambda wanted: panel.configure(self.world, wanted)),
            route("reset", "POST", lambda _: self.reset()),
        ]


class Endpoint:
    """One of EvoLink's endpoints: counted, guarded, and struck by faults.

    :param emulator: whose world it shows.
    :param name: as faults and counters call it.
    :param handler: answers a request that may pass.
    :param is_open: whether it takes requests without a key.
    """

    def __init__(self, emulator: Emulator, name: str, handler: Handler, is_open: bool) -> None:
        self._emulator = emulator
        self._name = name
        self._handler = handler
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or misbehave if a fault is due."""
        world = self._emulator.world
        world.requests[self._name] += 1
        receive = world.leaks.watch(scope, receive, takes_key=not self._is_open)
        fault = world.faults.take(self._name, "answer")
        with suppress(ClientDisconnect, RenderingStoppedError):  # nobody is left to be answered
            if fault:
                await misbehave(fault, Exchange(self._name, self._answer, scope, receive, send))
            else:
                await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        try:
            if not self._is_open:
                key = self._checked_key(request)
                if self._name in LIMITED:
                    self._emulator.world.query_limit.take(key)
            return await self._handler(Call(request, self._emulator.world, self._emulator.studio))
        except RefusedError as refusal:
            return refuse(self._name, refusal.status, **refusal.changes)

    def _checked_key(self, request: Request) -> str:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key not in self._emulator.settings.keys:
            raise RefusedError(401)
        return key
