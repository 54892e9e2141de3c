"""HTTP answers turned into values or typed errors."""

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
from airflow_provider_evolink.api.generation import parse_upload
from airflow_provider_evolink.api.responses import ApiResponse, RequestContext, parse_response, retry_after
from airflow_provider_evolink.api.sanitize import sanitize, sentence
from tests import hostile

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECRET = "sk-very-secret-key"
ASKED = RequestContext("the submission", "Nothing was charged.")
READ = RequestContext("the question for generation task-unified-1", "It goes on.", "task-unified-1")

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


def answer(status: int, value: Any, **headers: str) -> ApiResponse:
    """An answer with a JSON body."""
    return ApiResponse(
        status, {name.replace("_", "-"): text for name, text in headers.items()}, json.dumps(value).encode()
    )


def error_of(given: ApiResponse, question: RequestContext = ASKED) -> errors.EvoLinkError:
    """The error that an answer becomes."""
    with pytest.raises(errors.EvoLinkError) as caught:
        parse_response(given, question, secret=SECRET, now=NOW)
    return caught.value


@pytest.mark.parametrize("ending", [".", "!", "?", "\u3002", "\uff01", "…", ""])
def test_a_message_ends_with_one_stop(ending: str) -> None:
    """EvoLink's message is part of a sentence of ours, which ends once, however it ends itself."""
    quoted = f"Please top up{ending}"
    refused = str(error_of(answer(402, {"error": {"code": "insufficient_quota", "message": quoted}})))
    with pytest.raises(errors.InvalidResponseError) as rejected:
        parse_upload({"success": False, "msg": quoted})

    assert f"{quoted}{'' if ending else '.'} Nothing was charged." in refused
    assert str(rejected.value).endswith(f"{quoted}{'' if ending else '.'}")
    assert sentence(sentence(quoted)) == sentence(quoted)


@pytest.mark.parametrize(("status", "code", "message", "kind", "expected"), SEED)
def test_each_error_of_the_document(
    status: int, code: str, message: str, kind: str, expected: type[errors.ApiError]
) -> None:
    """Each documented error is its own exception with code, message, type and request id, all in its text."""
    body = {"error": {"code": code, "message": message, "type": kind}}

    error = error_of(answer(status, body, x_request_id="req-42"))

    assert type(error) is expected
    assert isinstance(error, errors.ApiError)
    assert (error.status, error.code, error.detail, error.type) == (status, code, message, kind)
    assert error.request_id == "req-42"
    for part in (str(status), code, message, kind, "req-42", "Nothing was charged.", "retry"):
        assert part in str(error)
    assert error.permanent == (status < 429)


@pytest.mark.parametrize(
    ("status", "code", "question", "expected"),
    [
        (404, "task_not_found", READ, errors.GenerationNotFoundError),
        (404, "not_found", ASKED, errors.BadRequestError),
        (409, "idempotency_conflict", ASKED, errors.IdempotencyConflictError),
        (409, "paid_outcome_unknown", ASKED, errors.ServerError),
        (413, "too_large", ASKED, errors.BadRequestError),
        (502, "upstream_error", READ, errors.ServerError),
        (503, "service_unavailable", ASKED, errors.ServerError),
    ],
)
def test_other_errors(status: int, code: str, question: RequestContext, expected: type[errors.ApiError]) -> None:
    """Errors beyond the seed document are told apart by what their receiver must do."""
    assert type(error_of(answer(status, {"error": {"code": code}}), question)) is expected


def test_integer_codes_and_bare_texts() -> None:
    """Older pages have integer codes, some gateways a bare text: both are understood."""
    error = error_of(answer(503, {"error": {"code": 503, "message": "later", "type": "service_unavailable_error"}}))
    assert isinstance(error, errors.ApiError)
    assert error.code == "503"

    bare = error_of(answer(400, {"error": "no"}))
    assert isinstance(bare, errors.ApiError)
    assert bare.detail == "no"


@pytest.mark.parametrize(
    "given",
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
def test_what_is_not_evolinks_json_is_one_error(given: ApiResponse) -> None:
    """HTML with 200, broken or endless JSON, redirects and a firewall's page are no answer of EvoLink's."""
    assert isinstance(error_of(given), errors.InvalidResponseError)


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"404 page not found"), (401, b""), (403, b"{}"), (400, b"[]"), (418, b"teapot")]
)
def test_a_refusal_without_evolinks_body_is_not_evolinks(status: int, body: bytes) -> None:
    """What a proxy says in passing does not end a wait that EvoLink itself would not have ended."""
    assert isinstance(error_of(ApiResponse(status, {}, body), READ), errors.InvalidResponseError)


def test_what_it_cost_is_said_as_far_as_it_is_known() -> None:
    """A refusal says that nothing was charged; a failure in the middle leaves it open."""
    asked = RequestContext(
        "the submission", "Nothing was charged.", unknown_cost="Whether it was charged is not known."
    )

    assert "Nothing was charged." in str(error_of(answer(402, {"error": {"code": "x"}}), asked))
    for doubtful in (answer(500, {"error": {"code": "x"}}), ApiResponse(200, {}, b"<html>")):
        assert "Whether it was charged is not known." in str(error_of(doubtful, asked))


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
    """Seconds and dates are understood, within 0 and 120; nonsense is not heeded."""
    assert retry_after({"retry-after": text}, NOW) == seconds


def test_the_key_is_cut_out_of_whatever_comes_back() -> None:
    """An answer that echoes the key, in any field, does not carry it into the error."""
    body = {"error": {"code": f"c-{SECRET}", "message": f"bad key {SECRET}", "type": SECRET, "request_id": SECRET}}

    assert SECRET not in str(error_of(answer(401, body, x_request_id=SECRET)))
    assert SECRET not in str(error_of(ApiResponse(200, {"content-type": SECRET}, f"<p>{SECRET}".encode())))


@pytest.mark.parametrize(
    ("headers", "said", "seconds"),
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
def test_the_pause_may_stand_in_the_body(headers: dict[str, str], said: object, seconds: float | None) -> None:
    """As documented for queries; the header, which proxies know, goes before."""
    body = json.dumps({"error": {"code": "rate_limit_exceeded", "retry_after": said}}).encode()
    error = error_of(ApiResponse(429, headers, body), READ)

    assert isinstance(error, errors.RateLimitedError)
    assert error.retry_after == seconds


def test_a_429_that_is_not_evolinks_is_a_limit_too() -> None:
    """A gateway limits with a page of its own, and means the same: nothing was done, and a pause helps."""
    error = error_of(
        ApiResponse(429, {"content-type": "text/html", "retry-after": "9"}, b"<html>slow down</html>"), READ
    )

    assert isinstance(error, errors.RateLimitedError)
    assert error.retry_after == 9.0


@pytest.mark.parametrize("before", range(0, 90, 10))
def test_a_key_that_is_quoted_where_a_text_is_cut_is_cut_out_first(before: int) -> None:
    """The beginning of a foreign page is shown, but not the beginning of a key in it."""
    page = b"<p>" + b"x" * before + f"Bearer {SECRET}</p>".encode()

    assert SECRET[:6] not in str(error_of(ApiResponse(200, {"content-type": "text/html"}, page)))


ODD_SECRET = 'sk/odd"key+\\with&all=%<>'
WRITTEN = {
    "JSON": json.dumps(ODD_SECRET)[1:-1],
    "JSON as Go writes it": json.dumps(ODD_SECRET)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c"),
    "JSON as PHP writes it": json.dumps(ODD_SECRET)[1:-1].replace("/", "\\/"),
    "JSON in codes": "".join(f"\\u{ord(letter):04x}" for letter in ODD_SECRET),
    "a web page": html.escape(ODD_SECRET),
    "a URL": quote(ODD_SECRET, safe=""),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_the_key_is_known_however_it_is_written(written: str) -> None:
    """A key with unusual characters is cut out of values and errors in every spelling that an answer may have."""
    body = f'{{"id": "task-unified-1", "result_data": {{"{written}": ["made for {written}"]}}}}'.encode()

    assert parse_response(ApiResponse(200, {}, body), READ, secret=ODD_SECRET, now=NOW)["result_data"] == {
        "***": ["made for ***"]
    }


@pytest.mark.parametrize("name", ["JSON", "a web page", "a URL"])
def test_the_key_is_known_in_what_is_no_answer(name: str) -> None:
    """Nor is it shown where a page or half an answer is quoted."""
    given = ApiResponse(200, {}, f"<p>Bearer {WRITTEN[name]} ".encode())
    with pytest.raises(errors.InvalidResponseError) as caught:
        parse_response(given, READ, secret=ODD_SECRET, now=NOW)

    assert "Bearer ***" in str(caught.value)


def test_request_id_is_found_in_the_message() -> None:
    """Some answers name the request only at the end of their message."""
    error = error_of(answer(500, {"error": {"message": "boom (request id: 2026x7)"}}))

    assert isinstance(error, errors.ApiError)
    assert error.request_id == "2026x7"


@settings(max_examples=300)
@given(st.integers(100, 999), hostile.headers(), hostile.bodies())
def test_any_answer_is_a_value_or_a_documented_error(status: int, headers: dict[str, str], body: bytes) -> None:
    """No answer whatever raises anything but this package's errors, which are short, printable and can be stored."""
    read = {name.lower(): value for name, value in headers.items()}
    try:
        json.dumps(
            parse_response(ApiResponse(status, read, body), ASKED, secret=SECRET, now=NOW), ensure_ascii=False
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
def test_any_wish_to_wait_is_bounded_or_not_heeded(text: str) -> None:
    """No ``Retry-After``, however odd, makes anybody wait for longer than two minutes, or fail."""
    seconds = retry_after({"retry-after": text}, NOW)
    assert seconds is None or 0 <= seconds <= 120


def test_texts_from_outside_are_one_short_line() -> None:
    """A message cannot forge log lines or flood them."""
    cleaned = sanitize("first\nERROR forged \x1b[31m" + "x" * 10_000, SECRET)

    assert cleaned is not None
    assert "\n" not in cleaned
    assert "\x1b" not in cleaned
    assert len(cleaned) <= 501


def test_a_page_that_is_not_evolinks_may_say_when_to_come_back() -> None:
    """A gateway's ``Retry-After`` survives, though its answer is none."""
    answer = ApiResponse(403, {"retry-after": "20", "content-type": "text/html"}, b"<html>wait</html>")

    with pytest.raises(errors.InvalidResponseError) as caught:
        parse_response(answer, RequestContext("the question", "Asking costs nothing."), secret="", now=NOW)
    assert caught.value.retry_after == 20


def test_a_generation_that_is_not_there_does_not_go_on() -> None:
    """The text of a 404 does not say that the generation goes on at EvoLink."""
    question = RequestContext("the question for generation x", "The generation goes on at EvoLink.", "task-unified-1")
    answer = ApiResponse(404, {}, b'{"error": {"code": "task_not_found", "message": "No such task."}}')

    with pytest.raises(errors.GenerationNotFoundError) as caught:
        parse_response(answer, question, secret="", now=NOW)
    assert "goes on" not in str(caught.value)
