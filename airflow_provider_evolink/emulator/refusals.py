# SPDX-License-Identifier: Apache-2.0
"""The documented bodies of refusals: every endpoint has its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

Error = Mapping[str, Any]


class RefusedError(Exception):
    """Ends a request with an error.

    :param status: HTTP status.
    :param changes: fields of the documented error body to add or replace.
    """

    def __init__(self, status: int, **changes: Any) -> None:
        super().__init__(status)
        self.status = status
        self.changes = changes


def _error(code: str | int, message: str, type_: str, **more: Any) -> Error:
    return {"code": code, "message": message, "type": type_, **more}


_INVALID = "invalid_request_error"

_SUBMIT: Mapping[int, Error] = {
    400: _error("invalid_request", "Invalid request parameters", _INVALID),
    401: _error("unauthorized", "Invalid or expired token", "authentication_error"),
    402: _error("insufficient_quota", "Insufficient quota. Please top up your account.", "insufficient_quota"),
    403: _error("model_access_denied", "Token does not have access to model", _INVALID),
    404: _error("not_found", "Invalid URL", _INVALID),
    409: _error("idempotency_conflict", "Idempotency-Key was already used for another request", _INVALID),
    413: _error("request_too_large", "Request body must not exceed 64 MB", _INVALID),
    429: _error("rate_limit_exceeded", "Too many requests, please try again later", "rate_limit_error"),
    500: _error("internal_error", "Internal server error", "api_error"),
    502: _error("upstream_error", "Upstream service error", "api_error"),
    503: _error("service_unavailable", "No available channel for the requested model", "api_error"),
}
_READ: Mapping[int, Error] = {
    400: _error(
        "invalid_task_id",
        "Invalid task ID format, must start with 'task-unified-'",
        _INVALID,
        param="task_id",
    ),
    401: _error("unauthorized", "Authentication required", "authentication_error"),
    402: _error("quota_exceeded", "Insufficient quota. Please top up your account.", "insufficient_quota"),
    403: _error("permission_denied", "You don't have permission to access this task", _INVALID),
    404: _error("task_not_found", "The requested task could not be found", _INVALID),
    429: _error("rate_limit_exceeded", "Rate limit exceeded", "evo_api_error"),
    500: _error("internal_error", "Failed to retrieve task status", "api_error"),
    502: _error("upstream_error", "Upstream service error", "api_error"),
    503: _error("service_unavailable", "Service temporarily unavailable", "api_error"),
}
_CREDITS: Mapping[int, Error] = {
    400: _error(400, "Invalid request", _INVALID),
    401: _error(401, "Invalid or expired token", "authentication_error"),
    403: _error(403, "Access denied", "permission_error"),
    404: _error(404, "Not found", _INVALID),
    429: _error(429, "Rate limit exceeded", "rate_limit_error", fallback_suggestion="retry after 60 seconds"),
    500: _error(500, "Internal server error", "internal_server_error", fallback_suggestion="try again later"),
    502: _error(502, "Upstream service error", "upstream_error", fallback_suggestion="try again later"),
    503: _error(
        503,
        "Service temporarily unavailable",
        "service_unavailable_error",
        fallback_suggestion="retry after 30 seconds",
    ),
}
_BODIES: Mapping[str, Mapping[int, Error]] = {
    "submit": _SUBMIT,
    "read": _READ,
    "batch": _READ,
    "list": _READ,
    "credits": _CREDITS,
    "models": _CREDITS,
}
_FILES = {401: "Invalid or expired token", 429: "Rate limit exceeded"}


def refuse(endpoint: str, status: int, **changes: Any) -> Response:
    """Build the answer of an endpoint that refuses.

    :param endpoint: which; the files API has another shape, and media hosts answer with web pages.
    :param status: HTTP status.
    :param changes: fields of the documented error body to add or replace; `retry_after` becomes a header, too.
    """
    response = _refusal(endpoint, status, changes)
    if "retry_after" in changes:
        response.headers["retry-after"] = str(changes["retry_after"])
    return response


def _refusal(endpoint: str, status: int, changes: Error) -> Response:
    if endpoint == "media":
        return page(status)
    if endpoint in ("upload", "quota"):
        message = _FILES.get(status, "Request failed")
        return JSONResponse({"success": False, "code": status, "msg": message, **changes}, status)
    documented = _BODIES[endpoint].get(status) or _error("error", f"HTTP {status}", "api_error")
    return JSONResponse({"error": {**documented, **changes}}, status)


def page(status: int) -> Response:
    """Build the web page that a content delivery network shows instead of a file."""
    title = {404: "404 Not Found", 410: "410 Gone", 403: "403 Forbidden"}.get(status, f"Error {status}")
    html = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return HTMLResponse(html, status)
