# SPDX-License-Identifier: Apache-2.0
"""Parsing of HTTP responses into values or typed errors."""

from __future__ import annotations

import html
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.files import parse_uploaded
from airflow_provider_evolink.api.responses import ApiResponse, RequestContext, parse_response, retry_after
from airflow_provider_evolink.api.sanitize import sanitize, sentence
from tests import hostile

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECRET = "sk-very-secret-key"
SUBMISSION = RequestContext("the submission", "Nothing was charged.")
READ = RequestContext("the status request for generation task-unified-1", "It continues.", "task-unified-1")

# The error examples of the seed document, word for word.
SEED = [
    (400, "invalid_request", "Invalid request parameters", "invalid_request_error", errors.BadRequestError),
    (401, "unauthorized", "Invalid or expired token", "authentication_error", errors.AuthenticationError),
    (
        402,
        "insufficient_quota",
        "Insufficient quota. Please top up your account.",
        "insufficient_quota",
        errors.InsufficientCreditsError,
    ),
    (
        403,
        "model_access_denied",
        "Token does not have access to model: gemini-omni-flash-image-to-video",
        "invalid_request_error",
        errors.AccessDeniedError,
    ),
    (
        429,
        "rate_limit_exceeded",
        "Too many requests, please try again later",
        "rate_limit_error",
        errors.RateLimitedError,
    ),
    (500, "internal_error", "Internal server error", "api_error", errors.ServerError),
]


def json_response(status: int, value: Any, **headers: str) -> ApiResponse:
    """Return a response with a JSON body."""
    return ApiResponse(
        status, {name.replace("_", "-"): text for name, text in headers.items()}, json.dumps(value).encode()
    )


def error_of(response: ApiResponse, context: RequestContext = SUBMISSION) -> errors.EvoLinkError:
    """Return the error that a response becomes."""
    with pytest.raises(errors.EvoLinkError) as caught:
        parse_response(response, context, secret=SECRET, now=NOW)
    return caught.value


@pytest.mark.parametrize("ending", [".", "!", "?", "\u3002", "\uff01", "…", ""])
def test_a_quoted_message_ends_with_one_period(ending: str) -> None:
    """A sentence of ours that quotes EvoLink's message has one ending, whatever the message ends with."""
    quoted = f"Please top up{ending}"
    api_error = str(error_of(json_response(402, {"error": {"code": "insufficient_quota", "message": quoted}})))
    with pytest.raises(errors.InvalidResponseError) as upload_error:
        parse_uploaded({"success": False, "msg": quoted}, None, now=NOW)

    assert f"{quoted}{'' if ending else '.'} Nothing was charged." in api_error
    assert str(upload_error.value).endswith(f"{quoted}{'' if ending else '.'}")
    assert sentence(sentence(quoted)) == sentence(quoted)


@pytest.mark.parametrize(("status", "code", "message", "error_type", "expected"), SEED)
def test_each_documented_error(
    status: int, code: str, message: str, error_type: str, expected: type[errors.ApiError]
) -> None:
    """Each documented error becomes its own exception with code, message, type and request id, all in its text."""
    body = {"error": {"code": code, "message": message, "type": error_type}}

    error = error_of(json_response(status, body, x_request_id="req-42"))

    assert type(error) is expected
    assert isinstance(error, errors.ApiError)
    assert (error.status, error.code, error.detail, error.type) == (status, code, message, error_type)
    assert error.request_id == "req-42"
    for part in (str(status), code, message, error_type, "req-42", "Nothing was charged.", "retry"):
        assert part in str(error)
    assert error.permanent == (status < 429)


@pytest.mark.parametrize(
    ("status", "code", "context", "expected"),
    [
        (404, "task_not_found", READ, errors.GenerationNotFoundError),
        (404, "not_found", SUBMISSION, errors.BadRequestError),
        (409, "idempotency_conflict", SUBMISSION, errors.IdempotencyConflictError),
        (409, "paid_outcome_unknown", SUBMISSION, errors.ServerError),
        (413, "too_large", SUBMISSION, errors.BadRequestError),
        (502, "upstream_error", READ, errors.ServerError),
        (503, "service_unavailable", SUBMISSION, errors.ServerError),
    ],
)
def test_other_errors(status: int, code: str, context: RequestContext, expected: type[errors.ApiError]) -> None:
    """Errors beyond the seed document are classified by what the caller must do."""
    assert type(error_of(json_response(status, {"error": {"code": code}}), context)) is expected


def test_integer_codes_and_bare_text_errors() -> None:
    """The integer codes of older documentation and the bare texts of some gateways are parsed."""
    error = error_of(
        json_response(503, {"error": {"code": 503, "message": "later", "type": "service_unavailable_error"}})
    )
    assert isinstance(error, errors.ApiError)
    assert error.code == "503"

    bare_text_error = error_of(json_response(400, {"error": "no"}))
    assert isinstance(bare_text_error, errors.ApiError)
    assert bare_text_error.detail == "no"


@pytest.mark.parametrize(
    "response",
    [
        ApiResponse(200, {"content-type": "text/html"}, b"<html>Just a moment...</html>"),
        ApiResponse(200, {}, b'{"id": "task-uni'),
        ApiResponse(200, {}, b""),
        ApiResponse(302, {"location": "https://elsewhere.test"}, b""),
        ApiResponse(403, {"content-type": "text/html"}, b"\n<!DOCTYPE html><title>1010</title>"),
        ApiResponse(200, {}, b"[" * 100_000),
        ApiResponse(200, {}, b"\xff\xfe\x00"),
    ],
)
def test_a_response_that_is_not_evolinks_json_is_invalid(response: ApiResponse) -> None:
    """HTML with 200, broken or deep JSON, redirects and a firewall's page are invalid responses."""
    assert isinstance(error_of(response), errors.InvalidResponseError)


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"404 page not found"), (401, b""), (403, b"{}"), (400, b"[]"), (418, b"teapot")]
)
def test_an_error_status_without_evolinks_body_is_invalid(status: int, body: bytes) -> None:
    """A proxy's error page is not an error of EvoLink's and does not end a wait."""
    assert isinstance(error_of(ApiResponse(status, {}, body), READ), errors.InvalidResponseError)


def test_an_error_says_what_is_known_about_the_cost() -> None:
    """A rejection says that nothing was charged; after other failures the cost is unknown."""
    context = RequestContext(
        "the submission", "Nothing was charged.", unknown_cost="Whether it was charged is unknown."
    )

    assert "Nothing was charged." in str(error_of(json_response(402, {"error": {"code": "x"}}), context))
    for response in (json_response(500, {"error": {"code": "x"}}), ApiResponse(200, {}, b"<html>")):
        assert "Whether it was charged is unknown." in str(error_of(response, context))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("100000", 120.0),
        ("-3", 0.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("", None),
        ("in 3 seconds", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Seconds and dates are parsed and limited to 0 to 120 seconds; nonsense is ignored."""
    assert retry_after({"retry-after": text}, NOW) == seconds


def test_the_api_key_is_removed_from_errors() -> None:
    """An echo of the API key in any field of a response is not in the error."""
    body = {"error": {"code": f"c-{SECRET}", "message": f"bad key {SECRET}", "type": SECRET, "request_id": SECRET}}

    assert SECRET not in str(error_of(json_response(401, body, x_request_id=SECRET)))
    assert SECRET not in str(error_of(ApiResponse(200, {"content-type": SECRET}, f"<p>{SECRET}".encode())))


@pytest.mark.parametrize(
    ("headers", "value", "seconds"),
    [
        ({}, 30, 30.0),
        ({}, "30", 30.0),
        ({"retry-after": "7"}, 30, 7.0),
        ({}, 1e9, 120.0),
        ({}, -5, 0.0),
        ({}, True, None),
        ({}, None, None),
        ({}, [30], None),
        ({}, "soon", None),
    ],
)
def test_retry_after_may_be_in_the_body(headers: dict[str, str], value: object, seconds: float | None) -> None:
    """The body's ``retry_after``, documented for task queries, counts if there is no header."""
    body = json.dumps({"error": {"code": "rate_limit_exceeded", "retry_after": value}}).encode()
    error = error_of(ApiResponse(429, headers, body), READ)

    assert isinstance(error, errors.RateLimitedError)
    assert error.retry_after == seconds


def test_a_429_of_a_gateway_is_a_rate_limit() -> None:
    """A gateway's 429 with a page of its own is a rate limit like EvoLink's."""
    error = error_of(
        ApiResponse(429, {"content-type": "text/html", "retry-after": "9"}, b"<html>slow down</html>"), READ
    )

    assert isinstance(error, errors.RateLimitedError)
    assert error.retry_after == 9.0


@pytest.mark.parametrize("offset", range(0, 90, 10))
def test_the_api_key_is_removed_before_a_page_is_shortened(offset: int) -> None:
    """The start of a foreign page is shown without a truncated API key in it."""
    page = b"<p>" + b"x" * offset + f"Bearer {SECRET}</p>".encode()

    assert SECRET[:6] not in str(error_of(ApiResponse(200, {"content-type": "text/html"}, page)))


ODD_SECRET = 'sk/odd"key+\\with&all=%<>'
ENCODED = {
    "JSON": json.dumps(ODD_SECRET)[1:-1],
    "JSON of Go": json.dumps(ODD_SECRET)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c"),
    "JSON of PHP": json.dumps(ODD_SECRET)[1:-1].replace("/", "\\/"),
    "JSON escapes": "".join(f"\\u{ord(letter):04x}" for letter in ODD_SECRET),
    "HTML": html.escape(ODD_SECRET),
    "URL": quote(ODD_SECRET, safe=""),
}


@pytest.mark.parametrize("encoded", ENCODED.values(), ids=ENCODED)
def test_the_api_key_is_removed_in_every_encoding(encoded: str) -> None:
    """An API key with unusual characters is removed from values in every encoding a response may have."""
    body = f'{{"id": "task-unified-1", "result_data": {{"{encoded}": ["made for {encoded}"]}}}}'.encode()

    assert parse_response(ApiResponse(200, {}, body), READ, secret=ODD_SECRET, now=NOW)["result_data"] == {
        "***": ["made for ***"]
    }


@pytest.mark.parametrize("name", ["JSON", "HTML", "URL"])
def test_the_api_key_is_removed_from_invalid_responses(name: str) -> None:
    """The API key is removed where the error quotes a page or an incomplete response."""
    response = ApiResponse(200, {}, f"<p>Bearer {ENCODED[name]} ".encode())
    with pytest.raises(errors.InvalidResponseError) as caught:
        parse_response(response, READ, secret=ODD_SECRET, now=NOW)

    assert "Bearer ***" in str(caught.value)


def test_the_request_id_is_found_in_the_message() -> None:
    """A request id that is only in the error message is found there."""
    error = error_of(json_response(500, {"error": {"message": "boom (request id: 2026x7)"}}))

    assert isinstance(error, errors.ApiError)
    assert error.request_id == "2026x7"


@settings(max_examples=300)
@given(st.integers(100, 999), hostile.headers(), hostile.bodies())
def test_any_response_is_a_value_or_a_documented_error(status: int, headers: dict[str, str], body: bytes) -> None:
    """Any response is a value or raises one of our errors, which are short, printable and storable."""
    lowercase_headers = {name.lower(): value for name, value in headers.items()}
    try:
        json.dumps(
            parse_response(ApiResponse(status, lowercase_headers, body), SUBMISSION, secret=SECRET, now=NOW),
            ensure_ascii=False,
        ).encode()
    except (errors.ApiError, errors.InvalidResponseError) as error:
        assert str(error).isprintable()
        assert len(str(error)) < 3000
        assert len(json.dumps(vars(error), allow_nan=False, ensure_ascii=False).encode()) < 5000


dates = st.from_regex(
    r"([A-Z][a-z]{2}, ?)?\d{1,6} [A-Z][a-z]{2} -?\d{1,6} \d{1,4}:\d{1,4}(:\d{1,4})? ?[+-]?\w{0,6}", fullmatch=True
)


@settings(max_examples=300)
@given(dates | st.text() | st.floats().map(str) | st.integers().map(str))
def test_any_retry_after_is_limited_or_ignored(text: str) -> None:
    """Any ``Retry-After`` is at most two minutes or ignored, and never fails."""
    seconds = retry_after({"retry-after": text}, NOW)
    assert seconds is None or 0 <= seconds <= 120


def test_sanitized_text_is_one_short_line() -> None:
    """A message can neither forge log lines nor flood the log."""
    sanitized = sanitize("first\nERROR forged \x1b[31m" + "x" * 10_000, SECRET)

    assert sanitized is not None
    assert "\n" not in sanitized
    assert "\x1b" not in sanitized
    assert len(sanitized) <= 500
    assert sanitize(sanitized, SECRET) == sanitized


def test_a_gateways_retry_after_is_kept() -> None:
    """The ``Retry-After`` of a gateway's invalid response is in the error."""
    response = ApiResponse(403, {"retry-after": "20", "content-type": "text/html"}, b"<html>wait</html>")

    with pytest.raises(errors.InvalidResponseError) as caught:
        parse_response(response, RequestContext("the credits request", "Reads are free."), secret="", now=NOW)
    assert caught.value.retry_after == 20


def test_a_missing_generation_does_not_continue() -> None:
    """The error for a 404 does not say that the generation continues at EvoLink."""
    context = RequestContext("the status request for generation x", "The generation continues.", "task-unified-1")
    response = ApiResponse(404, {}, b'{"error": {"code": "task_not_found", "message": "No such task."}}')

    with pytest.raises(errors.GenerationNotFoundError) as caught:
        parse_response(response, context, secret="", now=NOW)
    assert "continues" not in str(caught.value)
