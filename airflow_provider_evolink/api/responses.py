# SPDX-License-Identifier: Apache-2.0
"""
Reads an HTTP answer: its JSON if it succeeded, the right error if not.

Pure: bytes and headers in, a value or an exception out. Nothing that came from outside reaches an error's text
without being shortened, freed of control characters and searched for the API key.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
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
_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: AccessDeniedError,
    408: ServerError,
    425: ServerError,
    429: RateLimitedError,
}
_ADVICE: Mapping[type[ApiError], str] = {
    BadRequestError: "A retry would be refused again: mend the request.",
    AuthenticationError: "A retry fails until the connection holds a valid API key.",
    InsufficientCreditsError: "A retry fails until the account or the key has credits again.",
    AccessDeniedError: "A retry is denied until the key may use this.",
    GenerationNotFoundError: "A retry finds nothing either: check the id and that the key is of the same account.",
    IdempotencyConflictError: "A retry is refused again: this key belongs to another request.",
    RateLimitedError: "A retry after a pause may pass.",
    ServerError: "A retry later may pass.",
}


@dataclass(frozen=True, slots=True)
class RequestContext:
    """
    What was asked, for the error's text.

    :param what: such as "the submission" or "the question for generation task-unified-1".
    :param cost: what a refusal means for the money, as a sentence.
    :param generation_id: the generation asked about, if any.
    :param doubt: the same where EvoLink may have done what was asked, if that makes a difference.
    """

    what: str
    cost: str
    generation_id: str | None = None
    unknown_cost: str | None = None

    @property
    def cost_if_unknown(self) -> str:
        """What a failure means for the money that leaves open whether EvoLink did what was asked."""
        return self.unknown_cost or self.cost


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """An HTTP answer, read whole and within bounds."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def parse_response(response: ApiResponse, context: RequestContext, *, secret: str, now: datetime) -> Any:
    """
    Return the JSON value of a successful answer.

    :param secret: the API key, cut out of every text.
    :param now: for a ``Retry-After`` that is a date.
    :raises ApiError: EvoLink answered with an error; the class says what to do.
    :raises InvalidResponseError: it is no answer of EvoLink's.
    """
    response = replace(response, body=redact_bytes(response.body, secret))
    value = _json(response.body, secret)
    if 200 <= response.status < 300 and value is not None:
        return value
    error = _error_object(value)
    is_foreign = error is None and response.status != 429 and response.status < 500
    if 200 <= response.status < 400 or is_foreign:
        raise InvalidResponseError(
            _malformed_text(response, context, secret),
            generation_id=context.generation_id,
            retry_after=retry_after(response.headers, now),
        )
    raise _api_error(response, context, error, secret, now)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait that the server asked for, at most 120; seconds and dates are understood."""
    given = headers.get("retry-after", "").strip()
    try:
        seconds = float(given)
    except ValueError:
        seconds = _seconds_until(given, now)
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_until(date: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return float("nan")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - now).total_seconds()


def _json(body: bytes, secret: str) -> Any:
    try:
        text = body.decode()
        value = json.loads(text)
        # An escape may hide a letter of the key, or half a surrogate pair, which Airflow can neither store nor log.
        return redact(value, secret) if "\\" in text else value
    except (ValueError, RecursionError):
        return None


def _error_object(value: object) -> Mapping[str, Any] | None:
    if not isinstance(value, Mapping):
        return None
    error = value.get("error", value if "message" in value else None)
    if error is None and "msg" in value:  # the files API has a form of its own (documented)
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
    kind = _error_class(response.status, code, context)
    request_id = _request_id(response.headers, fields, detail, secret)
    # The query's documents show both; the body's is there where something between has taken the header away.
    told = response.headers.get("retry-after", fields.get("retry_after", ""))
    return kind(
        _text(response.status, code, error_type, detail, request_id, context, kind),
        status=response.status,
        code=code,
        error_type=error_type,
        detail=detail,
        request_id=request_id,
        retry_after=retry_after({"retry-after": str(told)}, now),
        generation_id=context.generation_id,
    )


def _error_class(status: int, code: str | None, context: RequestContext) -> type[ApiError]:
    if status >= 500 or code == "paid_outcome_unknown":
        return ServerError
    if code == "idempotency_conflict":
        return IdempotencyConflictError
    if status == 404 and context.generation_id is not None:
        return GenerationNotFoundError
    return _BY_STATUS.get(status, BadRequestError)


def _text(
    status: int,
    code: str | None,
    error_type: str | None,
    detail: str | None,
    request_id: str | None,
    context: RequestContext,
    kind: type[ApiError],
) -> str:
    named = [f"HTTP {status}", code if code != str(status) else None, f"({error_type})" if error_type else None]
    said = " ".join(part for part in named if part) + (f": {detail}" if detail else "")
    reference = f" [request id {request_id}]" if request_id else ""
    return f"EvoLink answered {context.what} with {sentence(said + reference)} {_cost(context, kind)} {_ADVICE[kind]}"


def _cost(context: RequestContext, kind: type[ApiError]) -> str:
    if kind is GenerationNotFoundError:
        return "Asking costs nothing."
    return context.cost_if_unknown if kind is ServerError else context.cost


def _malformed_text(response: ApiResponse, context: RequestContext, secret: str) -> str:
    kind = sanitize(response.headers.get("content-type"), secret) or "no content type"
    start = sanitize(response.body[:80].decode("utf-8", "replace"), secret) or "nothing"
    return (
        f"Something answered {context.what} with HTTP {response.status} and {kind} that is not EvoLink's JSON "
        f"({start!r}). {context.cost_if_unknown} A retry may reach EvoLink itself."
    )


def _request_id(headers: Mapping[str, str], error: Mapping[str, Any], detail: str | None, secret: str) -> str | None:
    named = headers.get("x-request-id") or headers.get("x-oneapi-request-id") or error.get("request_id")
    if named is None and detail and (match := _REQUEST_ID_IN_TEXT.search(detail)):
        named = match[1]
    return sanitize(named, secret)
