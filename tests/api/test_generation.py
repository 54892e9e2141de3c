# SPDX-License-Identifier: Apache-2.0
"""Parsing of EvoLink's response bodies, none of which is trusted."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given

from airflow_provider_evolink.api import generation
from airflow_provider_evolink.api.errors import InvalidResponseError
from tests import hostile
from tests.hostile import CREATED, CREDITS


def test_the_documented_create_response_is_parsed() -> None:
    """All relevant fields of the seed document's create response are parsed."""
    parsed = generation.parse_generation(CREATED)

    assert (parsed.id, parsed.status) == (CREATED["id"], "pending")
    assert (parsed.model, parsed.kind) == (CREATED["model"], "video")
    assert (parsed.progress, parsed.created, parsed.estimated_time) == (0, 1757169743.0, 60.0)
    assert parsed.usage == generation.Usage(102.34, None, "per_token")
    assert parsed.raw["usage"]["user_group"] == "default"
    assert not parsed.is_terminal


@pytest.mark.parametrize(
    ("status", "parsed_status", "is_terminal"),
    [
        ("pending", "pending", False),
        ("processing", "processing", False),
        ("completed", "completed", True),
        ("failed", "failed", True),
        ("cancelled", "cancelled", True),
        ("canceled", "cancelled", True),
        ("Completed ", "completed", True),
        ("rendering_queue", "rendering_queue", False),
    ],
)
def test_statuses(status: str, parsed_status: str, is_terminal: bool) -> None:
    """Documented statuses are recognized in any spelling; an unknown one is not terminal."""
    parsed = generation.parse_generation({**CREATED, "status": status})

    assert (parsed.status, parsed.is_terminal) == (parsed_status, is_terminal)


@pytest.mark.parametrize(
    ("fields", "links"),
    [
        ({"results": ["https://a.test/1.mp4", "https://a.test/1.mp4"]}, ("https://a.test/1.mp4",)),
        ({"results": None, "result_data": [{"url": "https://a.test/2.jpg"}]}, ("https://a.test/2.jpg",)),
        (
            {"result_data": {"songs": [{"audio_url": "https://a.test/s.mp3", "title": "https-less"}]}},
            ("https://a.test/s.mp3",),
        ),
        ({"results": ["javascript:alert(1)", 5, None, "ftp://a.test/x"]}, ()),
        ({"results": "https://a.test/bare.mp4"}, ("https://a.test/bare.mp4",)),
        ({"result_data": {"voice": "v-1"}}, ()),
        ({"result_data": [{"reference": ["https://a.test/not-a-result"], "url": "https://a.test/\x00"}]}, ()),
    ],
)
def test_links(fields: dict[str, object], links: tuple[str, ...]) -> None:
    """Links come from results, then from result_data in each known shape, each once, HTTP only."""
    assert generation.parse_generation({**CREATED, "status": "completed", **fields}).links == links


A, B, C, D = (f"https://a.test/{name}" for name in "abcd")
SONGS = [
    {"title": name, "audio_url": f"https://a.test/{name}.mp3", "image_url": f"https://a.test/{name}.jpeg"}
    for name in "ab"
]


@pytest.mark.parametrize(
    ("result_data", "links"),
    [
        ({"voice": "v-1", "preview_audio_url": A, "sample_rate": 24000}, (A,)),
        ({"audio": A}, (A,)),
        ({"audio": {"url": A}}, (A,)),
        ({"images": [A, B]}, (A, B)),
        ({"audio_list": [A], "image_list": [{"url": B}]}, (A, B)),
        ({"video_url": A, "webpage_url": B}, (A,)),
        ({"images": [{"url": A}, {"imageUrl": B}]}, (A, B)),
        ({"results": [A, {"videos": [B]}]}, (A, B)),
        ({"data": {"task_result": {"videos": [{"id": "1", "url": A}]}}}, (A,)),
        ({"output_url": A, "hd_video_url": B, "result_urls": [C], "downloadUrl": D}, (A, B, C, D)),
        ([A, B], (A, B)),
        (A, (A,)),
        ({"callback_url": A, "docs_url": A, "help": {"url": A}, "share_url": A, "status_url": A}, ()),
        ({"image_urls": [A], "input": {"image_url": A}, "params": {"url": A}, "source_url": A, "mask_url": A}, ()),
        ({"image_start": A, "prompt": A, "description": f"see {A}", "title": A, "link": A}, ()),
        ({"audio": "mp3", "audio_url": "", "images": [None, 5, "x"], "url": ["ftp://a.test/x"]}, ()),
        ({"audio_url": A, "stream_audio_url": B}, (A,)),
        ({"stream_audio_url": B}, (B,)),
        ({"video_url": A, "image_urls": [B]}, (A,)),
    ],
)
def test_links_in_result_data(result_data: object, links: tuple[str, ...]) -> None:
    """Files are found in fields of any name, without inputs of the model and links for humans."""
    body = {**CREATED, "status": "completed", "result_data": result_data}
    assert generation.parse_generation(body).links == links
    assert generation.parse_generation({**body, "results": [D]}).links == tuple(dict.fromkeys((D, *links)))


@pytest.mark.parametrize(
    ("results", "result_data", "roles"),
    [
        ([A, B], None, ["result", "result"]),
        ([SONGS[0]["audio_url"], SONGS[1]["audio_url"]], SONGS, ["result", "result", "cover", "cover"]),
        (None, {"songs": SONGS}, ["result", "cover", "result", "cover"]),
        ([A], {"preview_audio_url": A}, ["preview"]),
        (None, {"video_url": A, "thumbnail_url": B}, ["result", "cover"]),
        (None, {"audio": {"url": A}, "cover": {"url": B}}, ["result", "cover"]),
        (None, {"image_url": A, "audio_format": "none"}, ["result"]),
        (None, {"images": [A], "image": B}, ["result", "result"]),
    ],
)
def test_roles(results: object, result_data: object, roles: list[str]) -> None:
    """An image next to a song is its cover, wherever it is linked; what EvoLink calls a preview is one."""
    body = {**CREATED, "status": "completed", "results": results, "result_data": result_data}
    parsed = generation.parse_generation(body)
    assert list(parsed.roles) == roles
    with_results = generation.parse_generation({**body, "results": list(parsed.links)})
    assert (with_results.links, with_results.roles) == (parsed.links, parsed.roles)


@given(hostile.anything, hostile.anything)
def test_any_result_data_is_parsed(results: object, result_data: object) -> None:
    """In any data, each link has a role and occurs once."""
    body = {**CREATED, "status": "completed", "results": results, "result_data": result_data}
    parsed = generation.parse_generation(body)
    assert len(parsed.links) == len(parsed.roles) == len(set(parsed.links))
    assert set(parsed.roles) <= {"result", "cover", "preview"}


@pytest.mark.parametrize(
    "body",
    [None, [], "text", 7, {}, {"id": "../../etc/passwd", "status": "pending"}, {"id": CREATED["id"]},
     {"id": CREATED["id"], "status": " "}, {"id": "x" * 200, "status": "pending"}, {"id": 5, "status": "pending"}],
)  # fmt: skip
def test_useless_bodies_are_one_clear_error(body: object) -> None:
    """A body without a usable id and a status is an invalid response."""
    with pytest.raises(InvalidResponseError):
        generation.parse_generation(body)


def test_an_id_without_a_status_is_kept() -> None:
    """A create response without a status still has the id of what was paid for."""
    body = {"id": CREATED["id"], "status": None}

    assert generation.parse_generation(body, default_status="pending").status == "pending"


@pytest.mark.parametrize(
    ("billing", "charged"),
    [
        ({"charge_status": "charged", "refund_status": "not_required"}, True),
        ({"charge_status": "charged", "refund_status": "pending"}, False),
        ({"charge_status": "charged", "refund_status": ["pending"]}, True),
        ({"charge_status": "released"}, False),
        ("nonsense", False),
        (None, False),
    ],
)
def test_whether_a_failure_was_charged(billing: object, charged: bool) -> None:
    """Only an explicit charge without a refund counts as charged."""
    assert generation.parse_generation({**CREATED, "status": "failed", "billing": billing}).was_charged == charged


@pytest.mark.parametrize(
    ("usage", "charged"),
    [({"credits_used": 29.78}, True), ({"cost": {"usd": 0.4}}, True), ({"credits_used": 0, "cost": {"usd": 0}}, False)],
)
def test_any_charged_amount_counts(usage: object, charged: bool) -> None:
    """Amounts that are documented for completed generations count for a failed one as well."""
    assert generation.parse_generation({**CREATED, "status": "failed", "usage": usage}).was_charged == charged


@pytest.mark.parametrize(
    ("usage", "billing", "credits_"),
    [
        ({}, {"charge_status": "charged", "charged_credits": 7.5}, 7.5),
        ({}, {"charge_status": "charged", "charged_credits": 7.5, "refunded_credits": 3}, 4.5),
        ({"credits_used": 0}, {"charge_status": "charged", "charged_credits": 7.5}, 7.5),
        ({"credits_used": 6}, {"charge_status": "charged", "charged_credits": 7.5}, 6),
        ({"credits_used": 0}, {"charge_status": "released", "charged_credits": 0}, 0),
        ({}, {"charge_status": "charged", "charged_credits": 7.5, "refund_status": "pending"}, None),
        ({}, {"charge_status": "charged", "charged_credits": "7.5"}, None),
        ({}, "nonsense", None),
    ],
)
def test_what_a_failure_has_cost(usage: object, billing: object, credits_: float | None) -> None:
    """An amount of ``usage`` counts, else what ``billing`` has charged without a refund."""
    failed = generation.parse_generation({**CREATED, "status": "failed", "usage": usage, "billing": billing})

    assert failed.credits_charged == credits_


def test_another_generation_is_rejected() -> None:
    """A response for another id than the requested one is an error that names both."""
    with pytest.raises(InvalidResponseError, match=rf"{CREATED['id']}.*task-unified-1\b"):
        generation.parse_generation(CREATED, expected_id="task-unified-1")


@given(hostile.corrupted(CREATED, hostile.COMPLETED, hostile.FAILED))
def test_any_field_may_be_of_any_type(body: object) -> None:
    """With any value in any field, parsing returns a generation or raises the documented error."""
    try:
        parsed = generation.parse_generation(body)
    except InvalidResponseError as error:
        assert str(error).isprintable()
        return
    assert generation.is_generation_id(parsed.id)
    assert parsed.progress is None or 0 <= parsed.progress <= 100
    assert all(link.lower().startswith("http") for link in parsed.links)
    json.dumps(parsed.usage.credits_used, allow_nan=False)


def test_a_batch_skips_invalid_entries() -> None:
    """An invalid entry of a batch does not affect the others."""
    found = generation.parse_batch({"data": [CREATED, None, {"id": "??"}, {"status": "completed"}]})

    assert list(found) == [CREATED["id"]]
    with pytest.raises(InvalidResponseError):
        generation.parse_batch({"data": "nothing"})


def test_credits() -> None:
    """The documented example is parsed; an unlimited API key has no amount; no amounts are an error."""
    assert generation.parse_credits(CREDITS) == generation.Credits(99416.4429, 1095.3996)
    data = {**CREDITS["data"], "token": {"remaining_credits": 5, "unlimited_credits": True}}
    assert generation.parse_credits({"data": data}).key_remaining is None
    for broken in ({"success": False, "data": data}, {"data": {}}, []):
        with pytest.raises(InvalidResponseError):
            generation.parse_credits(broken)


@given(hostile.corrupted() | hostile.anything)
def test_any_body_is_parsed_or_rejected_by_every_parser(body: object) -> None:
    """Any body of a batch or credits response is parsed, or raises the documented error."""
    with suppress(InvalidResponseError):
        found = generation.parse_batch(body)
        assert all(key == entry.id and generation.is_generation_id(key) for key, entry in found.items())
    with suppress(InvalidResponseError):
        balance = generation.parse_credits(body)
        assert f"{balance.key_remaining} {balance.account_remaining:g}".isprintable()
