# SPDX-License-Identifier: Apache-2.0
"""
Reads an HTTP answer: its JSON if it succeeded, the right error if not.

Pure: bytes and headers in, a value or an exception out. Nothing that came from outside reaches an error's text
without being shortened, freed of control characters and searched for the API key.
"""

from __future__ import annotations

import functools
import html
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from airflow_provider_evolink.api.errors import (
    AccessDeniedError,
    ApiError,
    AuthenticationError,
    BadRequestError,
    GenerationNotFoundError,
    IdempotencyConflictError,
    InsufficientCreditsError,
    MalformedAnswerError,
    RateLimitedError,
    ServerError,
)

MAX_RETRY_AFTER = 120.0
# Chinese ones, too: full stop, exclamation mark and question mark.
_ENDS_OF_SENTENCES = (".", "!", "?", "…", "\u3002", "\uff01", "\uff1f")
_MAX_DETAIL = 500
_SHORTEST_SECRET = 8
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
class Question:
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
    doubt: str | None = None

    @property
    def cost_in_doubt(self) -> str:
        """What a failure means for the money that leaves open whether EvoLink did what was asked."""
        return self.doubt or self.cost


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole and within bounds."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def decode(answer: Answer, question: Question, *, secret: str, now: datetime) -> Any:
    """
    Return the JSON value of a successful answer.

    :param secret: the API key, cut out of every text.
    :param now: for a ``Retry-After`` that is a date.
    :raises ApiError: EvoLink answered with an error; the class says what to do.
    :raises MalformedAnswerError: it is no answer of EvoLink's.
    """
    answer = replace(answer, body=_without(secret, answer.body))
    value = _json(answer.body, secret)
    if 200 <= answer.status < 300 and value is not None:
        return value
    error = _error_object(value)
    is_foreign = error is None and answer.status != 429 and answer.status < 500
    if 200 <= answer.status < 400 or is_foreign:
        raise MalformedAnswerError(
            _malformed_text(answer, question, secret),
            generation_id=question.generation_id,
            retry_after=retry_after(answer.headers, now),
        )
    raise _api_error(answer, question, error, secret, now)


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


def _without(secret: str, body: bytes) -> bytes:
    """Cut out an echo of the API key, unless it is so short that honest answers hold it too."""
    if len(secret) < _SHORTEST_SECRET:
        return body
    for written in _spellings(secret):
        body = body.replace(written, b"***")
    return body


@functools.lru_cache(maxsize=8)
def _spellings(secret: str) -> frozenset[bytes]:
    """How JSON, a web page and a URL write it; they differ only if it has other characters than usual."""
    written = (secret, json.dumps(secret)[1:-1], html.escape(secret), quote(secret, safe=""))
    return frozenset(text.encode() for text in written)


def _json(body: bytes, secret: str) -> Any:
    try:
        text = body.decode()
        value = json.loads(text)
        # An escape may hide a letter of the key, or half a surrogate pair, which Airflow can neither store nor log.
        return _mended(value, secret) if "\\" in text else value
    except (ValueError, RecursionError):
        return None


def _mended(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        text = value.replace(secret, "***") if len(secret) >= _SHORTEST_SECRET else value
        return text if text.isascii() else text.encode(errors="replace").decode()
    if isinstance(value, list):
        return [_mended(item, secret) for item in value]
    if isinstance(value, dict):
        return {_mended(name, secret): _mended(item, secret) for name, item in value.items()}
    return value


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
    answer: Answer, question: Question, error: Mapping[str, Any] | None, secret: str, now: datetime
) -> ApiError:
    fields = error or {}
    code, error_type = clean(fields.get("code"), secret), clean(fields.get("type"), secret)
    detail = clean(fields.get("message"), secret)
    kind = _kind(answer.status, code, question)
    request_id = _request_id(answer.headers, fields, detail, secret)
    # The query's documents show both; the body's is there where something between has taken the header away.
    told = answer.headers.get("retry-after", fields.get("retry_after", ""))
    return kind(
        _text(answer.status, code, error_type, detail, request_id, question, kind),
        status=answer.status,
        code=code,
        error_type=error_type,
        detail=detail,
        request_id=request_id,
        retry_after=retry_after({"retry-after": str(told)}, now),
        generation_id=question.generation_id,
    )


def _kind(status: int, code: str | None, question: Question) -> type[ApiError]:
    if status >= 500 or code == "paid_outcome_unknown":
        return ServerError
    if code == "idempotency_conflict":
        return IdempotencyConflictError
    if status == 404 and question.generation_id is not None:
        return GenerationNotFoundError
    return _BY_STATUS.get(status, BadRequestError)


def _text(
    status: int,
    code: str | None,
    error_type: str | None,
    detail: str | None,
    request_id: str | None,
    question: Question,
    kind: type[ApiError],
) -> str:
    named = [f"HTTP {status}", code if code != str(status) else None, f"({error_type})" if error_type else None]
    said = " ".join(part for part in named if part) + (f": {detail}" if detail else "")
    reference = f" [request id {request_id}]" if request_id else ""
    return f"EvoLink answered {question.what} with {sentence(said + reference)} {_cost(question, kind)} {_ADVICE[kind]}"


def _cost(question: Question, kind: type[ApiError]) -> str:
    if kind is GenerationNotFoundError:
        return "Asking costs nothing."
    return question.cost_in_doubt if kind is ServerError else question.cost


def _malformed_text(answer: Answer, question: Question, secret: str) -> str:
    kind = clean(answer.headers.get("content-type"), secret) or "no content type"
    start = clean(answer.body[:80].decode("utf-8", "replace"), secret) or "nothing"
    return (
        f"Something answered {question.what} with HTTP {answer.status} and {kind} that is not EvoLink's JSON "
        f"({start!r}). {question.cost_in_doubt} A retry may reach EvoLink itself."
    )


def _request_id(headers: Mapping[str, str], error: Mapping[str, Any], detail: str | None, secret: str) -> str | None:
    named = headers.get("x-request-id") or headers.get("x-oneapi-request-id") or error.get("request_id")
    if named is None and detail and (match := _REQUEST_ID_IN_TEXT.search(detail)):
        named = match[1]
    return clean(named, secret)


def clean(value: object, secret: str) -> str | None:
    """Make a text from outside fit for a log: one line, at most 500 characters, without the API key."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    if secret:
        text = text.replace(secret, "***")
    text = text[: 4 * _MAX_DETAIL]
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(text.split())
    return line if len(line) <= _MAX_DETAIL else line[:_MAX_DETAIL] + "…"


def sentence(text: str) -> str:
    """End a text that quotes others with a full stop, unless it ends a sentence already."""
    return text if text.endswith(_ENDS_OF_SENTENCES) else f"{text}."


def encode(value: object) -> bytes:
    """The one way JSON leaves this package: compact UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
