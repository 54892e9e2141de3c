# SPDX-License-Identifier: Apache-2.0
"""Parse an HTTP response: into its JSON value if it succeeded, into a typed error if not.

Pure: bytes and headers in, a value or an exception out. Text from outside is shortened and stripped of control
characters and of the API key before it enters an error message.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_evolink.api.errors import (
    AccessDeniedError,
    ApiError,
    AuthenticationError,
    BadRequestError,
    GenerationNotFoundError,
    IdempotencyConflictError,
    InsufficientCreditsError,
    InvalidResponseError,
    RateLimitedError,
    ServerError,
)
from airflow_provider_evolink.api.sanitize import redact, redact_bytes, sanitize, sentence

MAX_RETRY_AFTER = 120.0
_REQUEST_ID_IN_TEXT = re.compile(r"\(request id: ([\w-]{1,100})\)", re.IGNORECASE)
_ERROR_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: AccessDeniedError,
    408: ServerError,
    425: ServerError,
    429: RateLimitedError,
}
_RETRY_ADVICE: Mapping[type[ApiError], str] = {
    BadRequestError: "A retry will be rejected again: fix the request.",
    AuthenticationError: "A retry fails until the connection holds a valid API key.",
    InsufficientCreditsError: "A retry fails until the account or the API key has enough credits.",
    AccessDeniedError: "A retry is denied until the API key has access.",
    GenerationNotFoundError: "A retry finds nothing either: check the id and the API key's account.",
    IdempotencyConflictError: "A retry will be rejected again: this idempotency key belongs to another request.",
    RateLimitedError: "A retry after a pause may succeed.",
    ServerError: "A later retry may succeed.",
}


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What a request was for, to describe its failure.

    :param what: such as "the submission" or "the status request for generation task-unified-1".
    :param cost: what the request costs if EvoLink rejects it, as a sentence.
    :param generation_id: the generation that was requested, if it is a single one.
    :param unknown_cost: what it costs if EvoLink may have processed it, where that differs from ``cost``.
    """

    what: str
    cost: str
    generation_id: str | None = None
    unknown_cost: str | None = None

    @property
    def cost_if_unknown(self) -> str:
        """What a failure costs after which EvoLink may or may not have processed the request."""
        return self.unknown_cost or self.cost


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """An HTTP response whose body was read completely, within a size limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def parse_response(response: ApiResponse, context: RequestContext, *, secret: str, now: datetime) -> Any:
    """Return the JSON value of a successful response.

    :param context: the request, for the error message.
    :param secret: the API key, removed from every text.
    :param now: the current time, for a ``Retry-After`` that is a date.
    :raises ApiError: EvoLink responded with an error; its class says what to do.
    :raises InvalidResponseError: the response is not EvoLink's.
    """
    response = replace(response, body=redact_bytes(response.body, secret))
    value = _parse_json(response.body, secret)
    response = replace(response, status=_meant_status(response.status, value))
    if 200 <= response.status < 300 and value is not None:
        return value
    error = _error_object(value)
    is_foreign = error is None and response.status != 429 and response.status < 500
    if 200 <= response.status < 400 or is_foreign:
        raise InvalidResponseError(
            _invalid_response_text(response, context, secret),
            advice="A retry may reach EvoLink itself.",
            generation_id=context.generation_id,
            retry_after=retry_after(response.headers, now),
        )
    raise _api_error(response, context, error, secret, now)


@contextmanager
def completing_errors(context: RequestContext) -> Iterator[None]:
    """Add to the error about an invalid body what the request cost and what a retry does."""
    try:
        yield
    except InvalidResponseError as error:
        raise InvalidResponseError(
            f"{error} {context.cost_if_unknown}",
            advice="A later retry may succeed.",
            generation_id=context.generation_id,
        ) from None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds to wait that ``Retry-After`` asks for, in seconds or as a date; 0 to 120, None if unusable."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value, now)
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _meant_status(status: int, value: object) -> int:
    """Return the status that a response means: EvoLink's clients expect that a failure may come with HTTP 200.

    Its ``code`` is then a status, or begins like one: 40003 is a kind of 400 (undocumented).
    """
    code = value.get("code") if isinstance(value, Mapping) and value.get("success") is False else None
    if not 200 <= status < 300 or isinstance(code, bool) or not isinstance(code, int):
        return status
    meant = int(str(abs(code))[:3])
    return meant if 400 <= meant < 600 else status


def _seconds_until(date: str, now: datetime) -> float:
    try:
        time = parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return float("nan")
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - now).total_seconds()


def _parse_json(body: bytes, secret: str) -> Any:
    try:
        text = body.decode()
        value = json.loads(text)
        # An escape may hide a character of the API key, or a lone surrogate, which Airflow can neither store nor log.
        return redact(value, secret) if "\\" in text else value
    except (ValueError, RecursionError):
        return None


def _error_object(value: object) -> Mapping[str, Any] | None:
    if not isinstance(value, Mapping):
        return None
    error = value.get("error", value if "message" in value else None)
    if error is None and "msg" in value:  # the files API has its own format (documented)
        return {"message": value["msg"], "code": value.get("code")}
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, Mapping) else None


def _api_error(
    response: ApiResponse, context: RequestContext, error: Mapping[str, Any] | None, secret: str, now: datetime
) -> ApiError:
    fields = error or {}
    code, error_type = sanitize(fields.get("code"), secret), sanitize(fields.get("type"), secret)
    detail = sanitize(fields.get("message"), secret)
    error_class = _error_class(response.status, code, context)
    request_id = _request_id(response.headers, fields, detail, secret)
    # The documentation of the task query shows both; the body's counts where an intermediary has dropped the header.
    given_retry_after = response.headers.get("retry-after", fields.get("retry_after", ""))
    return error_class(
        _error_text(response.status, code, error_type, detail, request_id, context, error_class),
        status=response.status,
        code=code,
        error_type=error_type,
        detail=detail,
        request_id=request_id,
        retry_after=retry_after({"retry-after": str(given_retry_after)}, now),
        generation_id=context.generation_id,
        advice=_RETRY_ADVICE[error_class],
    )


def _error_class(status: int, code: str | None, context: RequestContext) -> type[ApiError]:
    # The first request with this idempotency key is still in progress (undocumented; from EvoLink's clients).
    if status >= 500 or code == "paid_outcome_unknown":
        return ServerError
    if code == "idempotency_conflict":
        return IdempotencyConflictError
    if status == 404 and context.generation_id is not None:
        return GenerationNotFoundError
    return _ERROR_BY_STATUS.get(status, BadRequestError)


def _error_text(
    status: int,
    code: str | None,
    error_type: str | None,
    detail: str | None,
    request_id: str | None,
    context: RequestContext,
    error_class: type[ApiError],
) -> str:
    names = [f"HTTP {status}", code if code != str(status) else None, f"({error_type})" if error_type else None]
    description = " ".join(filter(None, names)) + (f": {detail}" if detail else "")
    reference = f" [request id {request_id}]" if request_id else ""
    return f"EvoLink responded to {context.what} with {sentence(description + reference)} {_cost(context, error_class)}"


def _cost(context: RequestContext, error_class: type[ApiError]) -> str:
    if error_class is GenerationNotFoundError:
        return "Reads are free."
    return context.cost_if_unknown if error_class is ServerError else context.cost


def _invalid_response_text(response: ApiResponse, context: RequestContext, secret: str) -> str:
    content_type = sanitize(response.headers.get("content-type"), secret) or "no content type"
    start = sanitize(response.body[:80].decode("utf-8", "replace"), secret)
    body = f"body starting with {start!r}" if start else "empty body"
    return (
        f"Got a response to {context.what} that is not EvoLink's JSON: HTTP {response.status}, {content_type}, {body}. "
        f"{context.cost_if_unknown}"
    )


def _request_id(headers: Mapping[str, str], error: Mapping[str, Any], detail: str | None, secret: str) -> str | None:
    request_id = headers.get("x-request-id") or headers.get("x-oneapi-request-id") or error.get("request_id")
    if request_id is None and detail and (match := _REQUEST_ID_IN_TEXT.search(detail)):
        request_id = match[1]
    return sanitize(request_id, secret)
