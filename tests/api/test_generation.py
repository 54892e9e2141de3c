"""EvoLink's answers, read without trust."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given

from airflow_provider_evolink.api import generation
from airflow_provider_evolink.api.errors import InvalidResponseError
from tests import hostile
from tests.hostile import CREATED, CREDITS


def test_create_answer_of_the_document_is_read_whole() -> None:
    """Each field of the seed document's create answer that matters is there."""
    seen = generation.parse_generation(CREATED)

    assert (seen.id, seen.status, seen.model, seen.kind) == (CREATED["id"], "pending", CREATED["model"], "video")
    assert (seen.progress, seen.created, seen.estimated_time) == (0, 1757169743.0, 60.0)
    assert seen.usage == generation.Usage(102.34, None, "per_token")
    assert seen.raw["usage"]["user_group"] == "default"
    assert not seen.is_terminal


@pytest.mark.parametrize(
    ("status", "read", "final"),
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
def test_statuses(status: str, read: str, final: bool) -> None:
    """Documented statuses mean what they say, both spellings of cancelled too; an unknown one is waited on."""
    seen = generation.parse_generation({**CREATED, "status": status})

    assert (seen.status, seen.is_terminal) == (read, final)


@pytest.mark.parametrize(
    ("answer", "links"),
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
def test_links(answer: dict[str, object], links: tuple[str, ...]) -> None:
    """Links come from results, then from result_data in each shape that was seen, each once, http only."""
    assert generation.parse_generation({**CREATED, "status": "completed", **answer}).links == links


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
    """Files are found under whatever name they have; what was given to the model, and links for people, are none."""
    answer = {**CREATED, "status": "completed", "result_data": result_data}
    assert generation.parse_generation(answer).links == links
    assert generation.parse_generation({**answer, "results": [D]}).links == tuple(dict.fromkeys((D, *links)))


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
    """The picture beside a song is its cover, wherever its link stands; what EvoLink calls a preview is one."""
    answer = {**CREATED, "status": "completed", "results": results, "result_data": result_data}
    seen = generation.parse_generation(answer)
    assert list(seen.roles) == roles
    again = generation.parse_generation({**answer, "results": list(seen.links)})
    assert (again.links, again.roles) == (seen.links, seen.roles)


@given(hostile.anything, hostile.anything)
def test_any_result_data_is_read(results: object, result_data: object) -> None:
    """Whatever stands there, each link has a role and comes once."""
    answer = {**CREATED, "status": "completed", "results": results, "result_data": result_data}
    seen = generation.parse_generation(answer)
    assert len(seen.links) == len(seen.roles) == len(set(seen.links))
    assert set(seen.roles) <= {"result", "cover", "preview"}


@pytest.mark.parametrize(
    "answer",
    [None, [], "text", 7, {}, {"id": "../../etc/passwd", "status": "pending"}, {"id": CREATED["id"]},
     {"id": CREATED["id"], "status": " "}, {"id": "x" * 200, "status": "pending"}, {"id": 5, "status": "pending"}],
)  # fmt: skip
def test_useless_answers_are_one_clear_error(answer: object) -> None:
    """Without a usable id and a status there is no generation."""
    with pytest.raises(InvalidResponseError):
        generation.parse_generation(answer)


def test_an_id_without_a_status_is_worth_keeping() -> None:
    """A create answer that lacks its status still names what is paid for."""
    answer = {"id": CREATED["id"], "status": None}

    assert generation.parse_generation(answer, default_status="pending").status == "pending"


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
    """Only what EvoLink says outright counts as charged."""
    assert generation.parse_generation({**CREATED, "status": "failed", "billing": billing}).was_charged == charged


@pytest.mark.parametrize(
    ("usage", "charged"),
    [({"credits_used": 29.78}, True), ({"cost": {"usd": 0.4}}, True), ({"credits_used": 0, "cost": {"usd": 0}}, False)],
)
def test_any_sign_of_a_charge_counts(usage: object, charged: bool) -> None:
    """What is documented for completed generations is believed of one that failed, too."""
    assert generation.parse_generation({**CREATED, "status": "failed", "usage": usage}).was_charged == charged


def test_another_generations_answer_is_refused() -> None:
    """An answer for another id is never taken for the one that was asked about."""
    with pytest.raises(InvalidResponseError, match="when asked for task-unified-1"):
        generation.parse_generation(CREATED, expected_id="task-unified-1")


@given(hostile.gone_wrong(CREATED, hostile.COMPLETED, hostile.FAILED))
def test_any_field_may_be_of_any_type(answer: object) -> None:
    """Whatever a field holds, reading gives a generation or the one documented error."""
    try:
        seen = generation.parse_generation(answer)
    except InvalidResponseError as error:
        assert str(error).isprintable()
        return
    assert generation.is_generation_id(seen.id)
    assert seen.progress is None or 0 <= seen.progress <= 100
    assert all(link.lower().startswith("http") for link in seen.links)
    json.dumps(seen.usage.credits_used, allow_nan=False)


def test_batch_leaves_out_what_makes_no_sense() -> None:
    """One broken entry of a batch does not spoil the others."""
    found = generation.parse_batch({"data": [CREATED, None, {"id": "??"}, {"status": "completed"}]})

    assert list(found) == [CREATED["id"]]
    with pytest.raises(InvalidResponseError):
        generation.parse_batch({"data": "nothing"})


def test_credits() -> None:
    """The documented example is read; an unlimited key has no figure of its own; no figures are an error."""
    assert generation.parse_credits(CREDITS) == generation.Credits(99416.4429, 1095.3996)
    data = {**CREDITS["data"], "token": {"remaining_credits": 5, "unlimited_credits": True}}
    assert generation.parse_credits({"data": data}).key_remaining is None
    for broken in ({"success": False, "data": data}, {"data": {}}, []):
        with pytest.raises(InvalidResponseError):
            generation.parse_credits(broken)


def test_upload() -> None:
    """An upload's public URL is returned; one that did not succeed says so, though it came with HTTP 200."""
    assert (
        generation.parse_upload({"success": True, "data": {"file_url": "https://f.test/a.png"}})
        == "https://f.test/a.png"
    )
    with pytest.raises(InvalidResponseError, match="quota"):
        generation.parse_upload(
            {"success": False, "msg": "quota reached", "data": {"file_url": "https://f.test/a.png"}}
        )
    for none in ("", "ftp://f.test/a.png", "https://f.test/a\n.png", 7, None):
        with pytest.raises(InvalidResponseError):
            generation.parse_upload({"success": True, "data": {"file_url": none}})


@given(hostile.gone_wrong() | hostile.anything)
def test_any_value_is_read_or_refused_by_every_parser(answer: object) -> None:
    """A batch, the credits and an upload are a value of their type, or the one documented error, whatever came."""
    with suppress(InvalidResponseError):
        found = generation.parse_batch(answer)
        assert all(identity == seen.id and generation.is_generation_id(identity) for identity, seen in found.items())
    with suppress(InvalidResponseError):
        left = generation.parse_credits(answer)
        assert f"{left.key_remaining} {left.account_remaining:g}".isprintable()
    with suppress(InvalidResponseError):
        url = generation.parse_upload(answer)
        assert url.startswith("http")
        assert url.isprintable()
