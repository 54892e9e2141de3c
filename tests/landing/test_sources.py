# SPDX-License-Identifier: Apache-2.0
"""What the transfer accepts as a generation, and the results that it finds there."""

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
    """Return a record as the generate operator does."""
    outcome = {"status": "completed", "model": "m", "results": [f"https://x.test/{generation_id}"], "result_data": None}
    return {"generation_id": generation_id, **outcome, "expires_at": "2026-11-24T10:00:00+00:00", **more}


def test_accepted_forms() -> None:
    """A record, a generation id and mixed lists of both are accepted, each generation once."""
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
def test_other_values_are_refused(value: object) -> None:
    """Anything else is refused by the parameter's name."""
    with pytest.raises(InvalidInputError, match=r"^`generation`="):
        generations_in(value)


def test_empty_upstream() -> None:
    """An upstream task that returned nothing is reported as such, without a word about charges."""
    for value in (None, "None", [None], [record(), None]):
        with pytest.raises(LandingInputError, match=r"^`generation`=.*upstream") as caught:
            generations_in(value)
        assert "charged" not in str(caught.value)


def test_an_address_in_place_of_a_record() -> None:
    """If the object of a value that Airflow's XCom backend keeps is gone, the error says so, and what to clear."""
    with pytest.raises(LandingInputError, match=r"^`generation`=.*XCom backend.*[Cc]lear"):
        generations_in("s3://xcom@bucket/dag/run/generate/1c2f")


def test_results_in_order() -> None:
    """The results are the record's links, then those in its result data, each once, numbered from 0."""
    data = [{"url": "https://x.test/b"}, {"video_url": "https://x.test/c", "image_url": "https://x.test/d"}]
    results = results_of(record(results=["https://x.test/a", "https://x.test/b"], result_data=data))
    assert results is not None
    assert [(result.index, result.link[-1]) for result in results] == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert {(result.generation_id, result.model, result.expires_at) for result in results} == {
        (A, "m", "2026-11-24T10:00:00+00:00")
    }


def test_covers_are_distinguished_from_songs() -> None:
    """Covers come after the songs and have their own role, even if the record lists them all together."""
    songs = [{"audio_url": f"https://x.test/{name}", "image_url": f"https://x.test/{name}.jpeg"} for name in "ab"]
    listed = [f"https://x.test/{name}" for name in ("a", "b", "a.jpeg", "b.jpeg")]
    for links in (listed[:2], listed):
        results = results_of(record(results=links, result_data={"songs": songs})) or []
        assert [(result.link, result.role) for result in results] == list(
            zip(listed, ["result", "result", "cover", "cover"], strict=True)
        )


def test_completed_without_files() -> None:
    """A completed generation may have no file."""
    assert results_of(record(results=[])) == []


@pytest.mark.parametrize("change", [{"status": "pending"}, {"status": "brewing"}, {"status": None}, {"status": ""}])
def test_unfinished_record_has_no_results(change: dict[str, Any]) -> None:
    """A record from before the generation was finished has no results; it has to be read again."""
    assert results_of(record(**change)) is None


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_failed_generation(status: str) -> None:
    """A failed generation has nothing to land, now or later."""
    with pytest.raises(PermanentGenerationFailedError, match=f"{A}.*{status}"):
        results_of(record(status=status))


def test_running_generation() -> None:
    """A generation that is still running is worth a retry."""
    check_finished(A, "completed")
    with pytest.raises(LandingError, match=f"{A}.*processing"):
        check_finished(A, "processing")


@given(hostile.corrupted(record(), [record(), A], A) | hostile.anything)
def test_any_value_is_accepted_or_refused(value: object) -> None:
    """Whatever an XCom holds leads to links that can be fetched, or to one clear error."""
    try:
        records = generations_in(value).values()
        results = [result for known in records if known is not None for result in results_of(known) or ()]
    except (InvalidInputError, PermanentGenerationFailedError) as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1500
        return
    for result in results:
        assert result.link.startswith("http")
        assert result.link.isprintable()
        assert result.expires_at is None or isinstance(result.expires_at, str)
