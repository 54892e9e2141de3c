from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.landing.range_requests import (
    Position,
    Verdict,
    judge,
    request_headers,
    retry_delay,
    validator_of,
)

CUT = Position(100, 300, '"v1"')


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({"content-range": "bytes 100-299/300"}, Verdict.PARTIAL),
        ({"content-range": "bytes 100-199/300", "etag": '"v1"'}, Verdict.PARTIAL),
        ({"content-range": "bytes 100-299/300", "etag": '"v2"'}, Verdict.RESTART),
        ({"content-range": "bytes 99-299/300"}, Verdict.RESTART),
        ({"content-range": "bytes 100-300/300"}, Verdict.RESTART),
        ({"content-range": "bytes 100-299/*"}, Verdict.RESTART),
        ({"content-range": "bytes 100-98/300"}, Verdict.RESTART),
        ({}, Verdict.RESTART),
    ],
)
def test_rest_must_fit(headers: dict[str, str], verdict: Verdict) -> None:
    """A partial answer is taken only if it goes on exactly where the last one was cut, of the same file."""
    assert judge(206, headers, CUT) is verdict


def test_rest_that_was_not_asked_for() -> None:
    """A partial answer to a question for the whole is not taken."""
    assert judge(206, {"content-range": "bytes 0-9/10"}, Position()) is Verdict.RESTART


def test_no_such_rest() -> None:
    """416 to a question for the rest asks for the whole; to one for the whole it is a refusal like any other."""
    assert judge(416, {}, CUT) is Verdict.RESTART
    assert judge(416, {}, Position()) is judge(416, {}, Position(5, 10)) is Verdict.EXPIRED


@given(st.integers(400, 499))
def test_refused_links_are_dead(status: int) -> None:
    """Every refusal asks for a fresh link but those that ask for patience."""
    assert judge(status, {}, Position()) is (Verdict.RETRY if status in {408, 425, 429} else Verdict.EXPIRED)


@given(st.integers(100, 599), st.dictionaries(st.sampled_from(["content-range", "etag"]), st.text(max_size=40)))
def test_every_answer_has_a_verdict(status: int, headers: dict[str, str]) -> None:
    """Whatever a server answers, it is clear what follows; only 200 and a fitting 206 bring bytes."""
    verdict = judge(status, headers, CUT)
    assert verdict not in {Verdict.WHOLE, Verdict.PARTIAL} or status in {200, 206}


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"etag": '"a"', "last-modified": "x"}, '"a"'),
        ({"etag": 'W/"a"', "last-modified": "x"}, "x"),
        ({"etag": 'W/"a"'}, None),
        ({}, None),
    ],
)
def test_only_strong_validators(headers: dict[str, str], validator: str | None) -> None:
    """A weak ETag can't tell that bytes are the same; without a validator nothing is resumed."""
    assert validator_of(headers) == validator
    asked = request_headers(Position(5, 10, validator))
    assert asked == ({"Range": "bytes=5-", "If-Range": validator} if validator else {})


@given(st.integers(1, 50), st.none() | st.floats(0, 120), st.floats(0, 1))
def test_pause_is_bounded(failures: int, told: float | None, chance: float) -> None:
    """A pause is never shorter than the server asked for, and never longer than 20 s of our own."""
    seconds = retry_delay(failures, told, jitter=chance)
    assert (told or 0.0) <= seconds <= max(told or 0.0, 20.0)
    assert seconds >= 0.25
