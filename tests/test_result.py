# SPDX-License-Identifier: Apache-2.0
"""From a response's bytes to the record that Airflow stores: any record can be stored, printed and landed."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidResponseError
from airflow_provider_evolink.api.generation import Generation, parse_generation
from airflow_provider_evolink.api.responses import ApiResponse, RequestContext, parse_response
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN, check_pattern
from airflow_provider_evolink.landing.sources import generations_in, results_of
from airflow_provider_evolink.result import Origin, build_record, failure_error, links_expired
from testkit.examples import GENERATION_ID
from tests import hostile

NOW = 1_790_000_000.0
REQUEST = RequestContext("the request", "Reading costs nothing.", GENERATION_ID)


@settings(max_examples=300)
@given(hostile.bodies(hostile.CREATED, hostile.COMPLETED, hostile.FAILED))
def test_any_response_makes_a_record_that_can_be_stored_or_a_documented_error(body: bytes) -> None:
    """A record holds only what Airflow's database, log and XCom can carry, and is hardly larger than the response."""
    response = ApiResponse(200, {}, body)
    try:
        generation = parse_generation(
            parse_response(response, REQUEST, secret="sk-planted", now=datetime.fromtimestamp(NOW, UTC))
        )
    except InvalidResponseError:
        return
    reserved, rule = generation.usage.credits_reserved, generation.usage.billing_rule
    origin = Origin(submitted_at=min(generation.created or NOW, NOW), credits_reserved=reserved, billing_rule=rule)

    stored = json.dumps(build_record(generation, origin, now=NOW), allow_nan=False, ensure_ascii=False)

    assert len(stored.encode()) < 3 * len(body) + 2000
    assert "\\u0000" not in stored
    text = str(failure_error(generation, cost=reserved))
    assert text.isprintable()
    assert len(text) < 3000
    with suppress(EvoLinkError):
        for record in generations_in(json.loads(stored)).values():
            check_pattern(DEFAULT_PATTERN, results_of(record or {}) or [])


@pytest.mark.parametrize(
    ("song", "roles"),
    [
        ({"audio_url": "https://x.test/a.mp3", "image_url": "https://x.test/a.jpeg"}, {"roles": ["result", "cover"]}),
        ({"audio_url": "https://x.test/a.mp3"}, {}),
    ],
)
def test_a_record_distinguishes_covers_from_songs(song: dict[str, str], roles: dict[str, list[str]]) -> None:
    """Results keep their order and form; if they are of different kinds, the record has their roles."""
    response = {**hostile.COMPLETED, "results": [song["audio_url"]], "result_data": [song]}
    record = build_record(parse_generation(response), Origin(submitted_at=NOW), now=NOW)
    assert record["results"] == list(song.values())
    assert {name: record[name] for name in record if name == "roles"} == roles


@pytest.mark.parametrize(
    ("expires_at", "is_expired"),
    [
        ("2026-01-01T00:00:00+00:00", True),
        ("2126-01-01T00:00:00+00:00", False),
        (None, False),
        ("soon", False),
        (5, False),
    ],
)
def test_expired_links_are_recognized_by_their_date(expires_at: object, is_expired: bool) -> None:
    """Only a date that has passed counts: a record that was edited is still returned."""
    assert links_expired({"expires_at": expires_at}, now=1_800_000_000.0) is is_expired


@pytest.mark.parametrize(("code", "is_known"), [("content_policy_violation", True), ("weird_code", False)])
def test_nothing_is_claimed_about_a_code_that_is_not_documented(code: str, is_known: bool) -> None:
    """Only of a documented error code is it known that the same request would fail again; neither is retried."""
    error = failure_error(Generation(id=GENERATION_ID, status="failed", error_code=code), cost=1.0)

    assert error.permanent
    assert ("would fail again" in str(error)) is is_known
    assert "clear the task" in str(error)
