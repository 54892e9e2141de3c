# SPDX-License-Identifier: Apache-2.0
"""Error responses of EvoLink's API: each group of endpoints has its own bodies.

As documented, except for the 409, which is known from EvoLink's own clients only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

ErrorBody = Mapping[str, Any]


class ApiError(Exception):
    """An error response that ends the request.

    :param status: HTTP status.
    :param fields: fields of the documented error body to add or replace.
    """

    def __init__(self, status: int, **fields: Any) -> None:
        super().__init__(status)
        self.status = status
        self.fields = fields


def _error(code: str | int, message: str, type_: str, **more: Any) -> ErrorBody:
    return {"code": code, "message": message, "type": type_, **more}


_INVALID = "invalid_request_error"

_SUBMIT: Mapping[int, ErrorBody] = {
    400: _error("invalid_request", "Invalid request parameters", _INVALID),
    401: _error("unauthorized", "Invalid or expired token", "authentication_error"),
    402: _error("insufficient_quota", "Insufficient quota. Please top up your account.", "insufficient_quota"),
    403: _error("model_access_denied", "Token does not have access to model", _INVALID),
    404: _error("not_found", "Invalid URL", _INVALID),
    405: _error("method_not_allowed", "Method not allowed", _INVALID),
    409: _error("idempotency_conflict", "Idempotency-Key was already used for another request", _INVALID),
    413: _error("request_too_large", "Request body must not exceed 64 MB", _INVALID),
    429: _error("rate_limit_exceeded", "Too many requests, please try again later", "rate_limit_error"),
    500: _error("internal_error", "Internal server error", "api_error"),
    502: _error("upstream_error", "Upstream service error", "api_error"),
    503: _error("service_unavailable", "No available channel for the requested model", "api_error"),
}
_READ: Mapping[int, ErrorBody] = {
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
_CREDITS: Mapping[int, ErrorBody] = {
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
_BODIES: Mapping[str, Mapping[int, ErrorBody]] = {
    "submit": _SUBMIT,
    "read": _READ,
    "batch": _READ,
    "list": _READ,
    "credits": _CREDITS,
    "models": _CREDITS,
}
_FILES_API = frozenset({"upload", "list_files", "delete_file", "quota"})
_FILE_MESSAGES = {401: "Invalid or expired token", 404: "Invalid URL", 429: "Rate limit exceeded"}


def error_response(endpoint: str, status: int, **fields: Any) -> Response:
    """Build the error response of an endpoint.

    :param endpoint: name of the endpoint; the files API has bodies of another shape, and media hosts send web pages.
    :param status: HTTP status.
    :param fields: fields of the documented error body to add or replace; ``retry_after`` also becomes a header.
    """
    response = _without_headers(endpoint, status, fields)
    if "retry_after" in fields:
        response.headers["retry-after"] = str(fields["retry_after"])
    return response


def _without_headers(endpoint: str, status: int, fields: ErrorBody) -> Response:
    if endpoint == "media":
        return error_page(status)
    if endpoint in _FILES_API:
        message = fields.get("message") or _FILE_MESSAGES.get(status, "Request failed")
        others = {name: value for name, value in fields.items() if name != "message"}
        return JSONResponse({"success": False, "code": status, "msg": message, **others}, status)
    documented = _BODIES[endpoint].get(status) or _error("error", f"HTTP {status}", "api_error")
    return JSONResponse({"error": {**documented, **fields}}, status)


def error_page(status: int) -> Response:
    """Build the web page that a content delivery network sends instead of a file."""
    title = {404: "404 Not Found", 410: "410 Gone", 403: "403 Forbidden"}.get(status, f"Error {status}")
    html = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return HTMLResponse(html, status)
