"""EvoLink's answers, read without trust."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.api import generation
from airflow_provider_evolink.api.errors import MalformedAnswerError

CREATED = {
    "created": 1757169743,
    "id": "task-unified-1757169743-7cvnl5zw",
    "model": "gemini-omni-flash-image-to-video",
    "object": "video.generation.task",
    "progress": 0,
    "status": "pending",
    "task_info": {"can_cancel": False, "estimated_time": 60},
    "type": "video",
    "usage": {"billing_rule": "per_token", "credits_reserved": 102.34, "user_group": "default"},
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from([*CREATED, "results", "result_data", "error", "duration"])


def test_create_answer_of_the_document_is_read_whole() -> None:
    """Each field of the seed document's create answer that matters is there."""
    seen = generation.parse_generation(CREATED)

    assert (seen.id, seen.status, seen.model, seen.kind) == (CREATED["id"], "pending", CREATED["model"], "video")
    assert (seen.progress, seen.created, seen.estimated_time) == (0, 1757169743.0, 60.0)
    assert seen.usage == generation.Usage(102.34, None, "per_token")
    assert seen.raw["usage"]["user_group"] == "default"
    assert not seen.is_final


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

    assert (seen.status, seen.is_final) == (read, final)


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


@pytest.mark.parametrize(
    "answer",
    [None, [], "text", 7, {}, {"id": "../../etc/passwd", "status": "pending"}, {"id": CREATED["id"]},
     {"id": CREATED["id"], "status": " "}, {"id": "x" * 200, "status": "pending"}, {"id": 5, "status": "pending"}],
)  # fmt: skip
def test_useless_answers_are_one_clear_error(answer: object) -> None:
    """Without a usable id and a status there is no generation."""
    with pytest.raises(MalformedAnswerError):
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
        ({"charge_status": "released"}, False),
        ("nonsense", False),
        (None, False),
    ],
)
def test_whether_a_failure_was_charged(billing: object, charged: bool) -> None:
    """Only what EvoLink says outright counts as charged."""
    assert generation.parse_generation({**CREATED, "status": "failed", "billing": billing}).was_charged == charged


def test_another_generations_answer_is_refused() -> None:
    """An answer for another id is never taken for the one that was asked about."""
    with pytest.raises(MalformedAnswerError, match="when asked for task-unified-1"):
        generation.parse_generation(CREATED, expected_id="task-unified-1")


@given(st.dictionaries(fields, anything, max_size=8))
def test_any_field_may_be_of_any_type(changes: dict[str, object]) -> None:
    """Whatever a field holds, reading gives a generation or the one documented error."""
    try:
        seen = generation.parse_generation({**CREATED, **changes})
    except MalformedAnswerError:
        return
    assert generation.is_generation_id(seen.id)
    assert seen.progress is None or 0 <= seen.progress <= 100
    assert all(link.lower().startswith("http") for link in seen.links)
    json.dumps(seen.usage.credits_used, allow_nan=False)


def test_batch_leaves_out_what_makes_no_sense() -> None:
    """One broken entry of a batch does not spoil the others."""
    found = generation.parse_batch({"data": [CREATED, None, {"id": "??"}, {"status": "completed"}]})

    assert list(found) == [CREATED["id"]]
    with pytest.raises(MalformedAnswerError):
        generation.parse_batch({"data": "nothing"})


def test_credits() -> None:
    """The documented example is read; an unlimited key has no figure of its own; no figures are an error."""
    data = {
        "token": {"remaining_credits": 99416.4429, "unlimited_credits": False, "used_credits": 583.5571},
        "user": {"remaining_credits": 1095.3996, "used_credits": 135.9048},
    }

    assert generation.parse_credits({"data": data, "success": True}) == generation.Credits(99416.4429, 1095.3996)
    data["token"]["unlimited_credits"] = True
    assert generation.parse_credits({"data": data}).key_remaining is None
    for broken in ({"success": False, "data": data}, {"data": {}}, []):
        with pytest.raises(MalformedAnswerError):
            generation.parse_credits(broken)


def test_upload() -> None:
    """An upload's public URL is returned; one that did not succeed says so, though it came with HTTP 200."""
    assert (
        generation.parse_upload({"success": True, "data": {"file_url": "https://f.test/a.png"}})
        == "https://f.test/a.png"
    )
    with pytest.raises(MalformedAnswerError, match="quota"):
        generation.parse_upload(
            {"success": False, "msg": "quota reached", "data": {"file_url": "https://f.test/a.png"}}
        )
