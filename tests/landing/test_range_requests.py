# SPDX-License-Identifier: Apache-2.0
"""What each response to a range request means for the download."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.landing.range_requests import (
    Position,
    Verdict,
    classify,
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
def test_partial_response_must_fit(headers: dict[str, str], verdict: Verdict) -> None:
    """A partial response is used only if it continues the same file exactly where the last one was cut."""
    assert classify(206, headers, CUT) is verdict


def test_unrequested_partial_response() -> None:
    """A partial response to a request for the whole file is not used."""
    assert classify(206, {"content-range": "bytes 0-9/10"}, Position()) is Verdict.RESTART


def test_range_not_satisfiable() -> None:
    """416 to a range request leads to a request for the whole file; otherwise the link is dead."""
    assert classify(416, {}, CUT) is Verdict.RESTART
    assert classify(416, {}, Position()) is classify(416, {}, Position(5, 10)) is Verdict.EXPIRED


@given(st.integers(400, 499))
def test_client_errors_mean_a_dead_link(status: int) -> None:
    """Every 4xx status needs a new link, except those that mean "retry"."""
    assert classify(status, {}, Position()) is (Verdict.RETRY if status in {408, 425, 429} else Verdict.EXPIRED)


@given(st.integers(100, 599), st.dictionaries(st.sampled_from(["content-range", "etag"]), st.text(max_size=40)))
def test_every_response_has_a_verdict(status: int, headers: dict[str, str]) -> None:
    """Every response has a verdict; only 200 and a matching 206 bring bytes."""
    verdict = classify(status, headers, CUT)
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
def test_only_strong_validators_are_used(headers: dict[str, str], validator: str | None) -> None:
    """A weak ETag does not guarantee equal bytes; without a validator nothing is resumed."""
    assert validator_of(headers) == validator
    headers_sent = request_headers(Position(5, 10, validator))
    assert headers_sent == ({"Range": "bytes=5-", "If-Range": validator} if validator else {})


@given(st.integers(1, 50), st.none() | st.floats(0, 120), st.floats(0, 1))
def test_delay_is_bounded(failures: int, retry_after: float | None, jitter: float) -> None:
    """A delay is never shorter than the server's Retry-After, and our own is at most 20 s."""
    seconds = retry_delay(failures, retry_after, jitter=jitter)
    assert (retry_after or 0.0) <= seconds <= max(retry_after or 0.0, 20.0)
    assert seconds >= 0.25
