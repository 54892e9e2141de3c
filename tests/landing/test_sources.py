from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from airflow_provider_evolink.api.errors import (
    InvalidInputError,
    LandingError,
    LandingInputError,
    PermanentGenerationFailedError,
)
from airflow_provider_evolink.landing.sources import check_finished, generations_in, results_of
from tests import hostile

A, B = "task-unified-1-aaaaaaaa", "task-unified-2-bbbbbbbb"


def record(generation_id: str = A, **more: Any) -> dict[str, Any]:
    """What the generate operator returns."""
    done = {"status": "completed", "model": "m", "results": [f"https://x.test/{generation_id}"], "result_data": None}
    return {"generation_id": generation_id, **done, "expires_at": "2026-11-24T10:00:00+00:00", **more}


def test_forms() -> None:
    """A record, an id, and lists of both in any mixture say what is wanted, each generation once."""
    assert generations_in(A) == {A: None}
    assert generations_in(record()) == {A: record()}
    assert list(generations_in([record(B), A, record(B)]).items()) == [(B, record(B)), (A, None)]
    assert generations_in(()) == {}


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "",
        "a b",
        "{'generation_id': 'task-unified-1'}",
        {},
        {"generation_id": 5},
        [None],
        [[A]],
        b"task-1",
        pytest.param(10**5000, id="huge"),
    ],
)
def test_anything_else_is_refused(value: object) -> None:
    """What is no generation is refused by the parameter's name."""
    with pytest.raises(InvalidInputError, match=r"^generation="):
        generations_in(value)


def test_nothing_upstream() -> None:
    """That a task upstream has returned nothing is told as that, not as a wrong type, and not as money."""
    for given_ in (None, "None", [None], [record(), None]):
        with pytest.raises(LandingInputError, match="the task upstream has returned nothing") as caught:
            generations_in(given_)
        assert "charged" not in str(caught.value)


def test_results_in_order() -> None:
    """A record's files are its results and then those in its result data, each once, numbered from 0."""
    data = [{"url": "https://x.test/b"}, {"video_url": "https://x.test/c", "image_url": "https://x.test/d"}]
    found = results_of(record(results=["https://x.test/a", "https://x.test/b"], result_data=data))
    assert found is not None
    assert [(one.index, one.link[-1]) for one in found] == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert {(one.generation_id, one.model, one.expires_at) for one in found} == {(A, "m", "2026-11-24T10:00:00+00:00")}


def test_covers_are_told_from_songs() -> None:
    """A record's covers come after its songs and say what they are, also where the record lists them all."""
    songs = [{"audio_url": f"https://x.test/{name}", "image_url": f"https://x.test/{name}.jpeg"} for name in "ab"]
    listed = [f"https://x.test/{name}" for name in ("a", "b", "a.jpeg", "b.jpeg")]
    for results in (listed[:2], listed):
        found = results_of(record(results=results, result_data={"songs": songs})) or []
        assert [(one.link, one.role) for one in found] == list(
            zip(listed, ["result", "result", "cover", "cover"], strict=True)
        )


def test_completed_without_files() -> None:
    """A generation may be completed and have made no file."""
    assert results_of(record(results=[])) == []


@pytest.mark.parametrize("change", [{"status": "pending"}, {"status": "brewing"}, {"status": None}, {"status": ""}])
def test_unfinished_record_says_nothing(change: dict[str, Any]) -> None:
    """A record made before the end is no answer; EvoLink has to be asked."""
    assert results_of(record(**change)) is None


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_failed_generation(status: str) -> None:
    """A generation that failed has nothing to land, now or later."""
    with pytest.raises(PermanentGenerationFailedError, match=f"{A} has ended as {status}"):
        results_of(record(status=status))


def test_running_generation() -> None:
    """A generation that still runs is worth another try."""
    check_finished(A, "completed")
    with pytest.raises(LandingError, match=f"{A} is still processing"):
        check_finished(A, "processing")


@given(hostile.gone_wrong(record(), [record(), A], A) | hostile.anything)
def test_any_value_is_sorted_out_or_refused(value: object) -> None:
    """Whatever an XCom holds, it names files that can be fetched, or says what is wrong with it."""
    try:
        wanted = generations_in(value)
        found = [result for known in wanted.values() if known is not None for result in results_of(known) or ()]
    except (InvalidInputError, PermanentGenerationFailedError) as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1500
        return
    for one in found:
        assert one.link.startswith("http")
        assert one.link.isprintable()
        assert one.expires_at is None or isinstance(one.expires_at, str)
