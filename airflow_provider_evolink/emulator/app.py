# SPDX-License-Identifier: Apache-2.0
"""The emulator as an ASGI application: its routes, and the backend behind them."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import Any, cast

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_evolink.emulator.errors import error_response
from airflow_provider_evolink.emulator.media.render_pool import RenderPool
from airflow_provider_evolink.emulator.routes import control, downloads, files, queries, submissions
from airflow_provider_evolink.emulator.routes.endpoint import Endpoint, Handler
from airflow_provider_evolink.emulator.routes.snapshot import snapshot
from airflow_provider_evolink.emulator.settings import Settings
from airflow_provider_evolink.emulator.state.backend import Backend


class Emulator:
    """A local EvoLink.

    :param settings: initial settings; a reset returns to them.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.backend = Backend(settings)
        self.renderer = RenderPool(settings.media_dir)

    def reset(self) -> dict[str, Any]:
        """Replace the backend, and with it all state and faults; return the new state."""
        self.backend = Backend(self.settings)
        return snapshot(self.backend)

    def application(self) -> ASGIApp:
        """Build the ASGI application."""
        routes = [*self._evolink_routes(), *self._control_routes()]
        handlers = {404: self._reject_request, 405: self._reject_request}
        return _with_request_id(Starlette(routes=routes, exception_handlers=handlers))

    async def _reject_request(self, request: Request, error: Exception) -> Response:
        """Respond to an unknown path, or to a method that a path does not have, in the form of its API."""
        self.backend.api_key_leaks.inspect(request.scope, request.receive, requires_api_key=True)
        rejection = cast(HTTPException, error)  # Starlette's, for a path or a method without a route
        path = request.url.path
        reason = "Invalid URL" if rejection.status_code == 404 else "Method not allowed"
        endpoint = "upload" if path.startswith("/api/v1/files/") else "submit"
        response = error_response(endpoint, rejection.status_code, message=f"{reason} ({request.method} {path})")
        response.headers.update(rejection.headers or {})
        return response

    def _evolink_routes(self) -> list[Route]:
        def route(path: str, method: str, name: str, handler: Handler, *, is_public: bool = False) -> Route:
            endpoint = Endpoint(name, handler, lambda: self.backend, self.renderer, is_public=is_public)
            return Route(path, endpoint, methods=[method])

        return [
            *(route(path, "POST", "submit", submissions.submit) for path in submissions.KINDS),
            route("/v1/tasks/batch", "POST", "batch", queries.get_batch),
            route("/v1/tasks/{task_id}", "GET", "read", queries.get_generation),
            route("/v1/tasks", "GET", "list", queries.list_generations),
            route("/v1/credits", "GET", "credits", queries.get_credits),
            route("/v1/models", "GET", "models", queries.list_models),
            route("/api/v1/files/upload/base64", "POST", "upload", files.upload_base64),
            route("/api/v1/files/upload/stream", "POST", "upload", files.upload_stream),
            route("/api/v1/files/upload/url", "POST", "upload", files.upload_url),
            route("/api/v1/files/list", "GET", "list_files", files.list_files),
            route("/api/v1/files/quota", "GET", "quota", files.get_quota),
            route("/api/v1/files/{file_id}", "DELETE", "delete_file", files.delete_file),
            route("/api/v1/files/download/{file_id}", "GET", "media", downloads.download_by_id, is_public=True),
            route("/media/{path:path}", "GET", "media", downloads.download, is_public=True),
        ]

    def _control_routes(self) -> list[Route]:
        route = control.control_route
        return [
            route("state", "GET", lambda _: snapshot(self.backend)),
            route("faults", "POST", lambda body: control.inject_fault(self.backend, body)),
            route("clock", "POST", lambda body: control.set_clock(self.backend, body)),
            route("settings", "POST", lambda body: control.change_settings(self.backend, body)),
            route("reset", "POST", lambda _: self.reset()),
        ]


def _with_request_id(app: ASGIApp) -> ASGIApp:
    """Wrap an application so that each of its responses has an ``x-request-id`` of its own."""

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = uuid.uuid4().hex
            await send(message)

        with suppress(asyncio.CancelledError):  # the server is shutting down, which is no error
            await app(scope, receive, send_with_id)

    return wrapper
