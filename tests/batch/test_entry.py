# SPDX-License-Identifier: Apache-2.0
"""What the ledger holds about a row: it is read back as it was written, and counts as what it is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import LedgerError
from airflow_provider_evolink.batch.budget import Admission, Budget
from airflow_provider_evolink.batch.cursor import Cursor
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status, replaced_entry, spent
from airflow_provider_evolink.batch.existing_files import ExistingFile
from airflow_provider_evolink.batch.expected_prices import price_class
from airflow_provider_evolink.batch.tally import Tally
from airflow_provider_evolink.landing.checkpoint import Landed
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from tests import hostile

TEXT = st.text(max_size=20)
TIMES = st.floats(0, 2e9).map(lambda value: round(value, 3))
CREDITS = st.floats(0, 1e6).map(lambda value: round(value, 3))


def _landed(generation_id: str = "task-1", uri: str = "file:///a/0.mp4") -> Landed:
    return Landed(uri, 5, "ab" * 32, "video/mp4", generation_id, "mp4")


RECORDS = st.builds(
    LedgerRecord,
    st.sampled_from(Phase),
    TEXT,
    TEXT,
    st.integers(1, 9),
    TEXT,
    TIMES,
    generation_id=st.sampled_from(["task-1", "task-2"]),
    submitted_at=TIMES,
    credits_reserved=st.none() | CREDITS,
    was_charged=st.booleans(),
    max_tries=st.none() | st.integers(0, 9),
    previous_ids=st.lists(TEXT, max_size=2).map(tuple),
)
PROBLEMS = st.builds(
    Problem,
    st.sampled_from([Status.SKIPPED, Status.FAILED, Status.UNFINISHED]),
    TEXT,
    st.none() | TEXT,
    st.booleans(),
    st.integers(0, 9),
)
FILES = st.lists(
    st.tuples(st.integers(0, 3), st.builds(_landed, st.sampled_from(["task-1", "task-2"]), TEXT)), max_size=3
)
ENTRIES = st.builds(
    RowEntry,
    TEXT,
    TEXT,
    st.none() | RECORDS,
    FILES.map(tuple),
    st.lists(st.builds(ExistingFile, TEXT, st.booleans()), max_size=2).map(tuple),
    st.none() | CREDITS,
    CREDITS,
    TEXT,
    st.booleans(),
    st.none() | PROBLEMS,
    st.booleans(),
)
SUBMITTED = LedgerRecord(
    Phase.SUBMITTED, "fp", "key", 1, "model", 1.0, generation_id="task-1", submitted_at=2.0, credits_reserved=30.0
)


@given(ENTRIES)
def test_entries_survive_being_stored(entry: RowEntry) -> None:
    """An entry is read back as it was written, and fields of a later version are ignored."""
    stored = json.loads(json.dumps(entry.to_json(), allow_nan=False))

    assert RowEntry.from_json(stored) == entry
    assert RowEntry.from_json({**stored, "of_a_later_version": 1}) == entry


@settings(max_examples=200)
@given(
    hostile.corrupted(
        RowEntry("A", "A/{index}", SUBMITTED, ((0, _landed()),)).to_json(),
        RowEntry("A", problem=Problem(Status.FAILED, "text", None, True, 1)).to_json(),
        RowEntry("A", existing=(ExistingFile("file:///a"), ExistingFile("file:///b", has_poster=True))).to_json(),
    )
)
def test_any_stored_value_is_an_entry_or_refused(stored: Any) -> None:
    """An entry that was edited either stops the try or can be stored again."""
    try:
        entry = RowEntry.from_json(stored)
    except LedgerError as error:
        assert str(error).isprintable()
        return
    assert isinstance(entry.status, Status)
    assert entry.record is None or isinstance(entry.record, LedgerRecord)
    assert spent(entry) == spent(entry)
    json.dumps(entry.to_json())


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (RowEntry("A"), Status.UNFINISHED),
        (RowEntry("A", record=SUBMITTED), Status.UNDER_WAY),
        (RowEntry("A", record=replace(SUBMITTED, phase=Phase.INTENT)), Status.UNFINISHED),
        (RowEntry("A", record=replace(SUBMITTED, phase=Phase.FINISHED)), Status.LANDED),
        (RowEntry("A", record=replace(SUBMITTED, phase=Phase.FINISHED), is_outdated=True), Status.UNFINISHED),
        (RowEntry("A", record=SUBMITTED, is_outdated=True), Status.UNFINISHED),
        (RowEntry("A", existing=(ExistingFile("file:///a"),)), Status.SKIPPED),
    ],
)
def test_statuses(entry: RowEntry, status: Status) -> None:
    """A row has landed only if it is finished and nothing is to replace it; a problem is what it is about."""
    assert entry.status is status
    for problem in (Status.FAILED, Status.UNFINISHED, Status.SKIPPED):
        assert replace(entry, problem=Problem(problem, "", None, True, 1)).status is problem


def test_what_a_generation_costs() -> None:
    """Nothing before it is accepted or if it failed uncharged; else what was used or is reserved, once each."""
    entry = RowEntry("A", record=SUBMITTED)
    assert spent(entry) == 30.0
    assert spent(replace(entry, credits_used=29.0)) == 29.0
    assert spent(replace(entry, credits_used=0.0)) == 0.0
    for phase in (Phase.INTENT, Phase.WITHDRAWN, Phase.FAILED):
        assert spent(replace(entry, record=replace(SUBMITTED, phase=phase))) == 0.0
    assert spent(replace(entry, record=replace(SUBMITTED, phase=Phase.FAILED, was_charged=True))) == 30.0
    again = replaced_entry(replace(entry, credits_used=29.0), replace(SUBMITTED, phase=Phase.INTENT))
    assert (again.credits_before, again.credits_used, spent(again)) == (29.0, None, 0.0)


@given(st.lists(ENTRIES, max_size=6), st.lists(ENTRIES, max_size=6))
def test_tallies_agree_however_they_are_reached(before: list[RowEntry], after: list[RowEntry]) -> None:
    """Entries that are replaced one by one count as if they had been counted anew."""
    stepwise, anew = Tally(), Tally()
    for entry in before:
        stepwise.add(entry)
    for old, new in zip(before, after, strict=False):
        stepwise.replace(old, new)
    for entry in [*after[: len(before)], *before[len(after) :]]:
        anew.add(entry)
    read = Tally.from_json(json.loads(json.dumps(stepwise.to_json())))
    for tally in (stepwise, read):
        assert +tally.counts == +anew.counts
        assert tally.used + tally.reserved == pytest.approx(anew.used + anew.reserved)


def test_cursors_survive_being_stored() -> None:
    """A cursor is read back as it was written; one of another version, or with something missing, is not."""
    cursor = Cursor("digest", 5.0, 3, 2, 1, 7, [0, 1], stop=Problem(Status.UNFINISHED, "stop", "code", True, 1))
    cursor.pending["a"], cursor.prices["a"], cursor.tally.counts[Status.LANDED] = 2, 30.0, 4
    stored = json.loads(json.dumps(cursor.to_json()))

    assert Cursor.from_json(stored) == cursor
    assert Cursor.from_json({**stored, "version": 0}) is None
    for name in stored:
        assert Cursor.from_json({key: value for key, value in stored.items() if key != name}) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=40), st.integers(1, 40))
def test_the_budget_is_never_passed(rows: list[tuple[str, int]], limit: int) -> None:
    """Whatever the order of sends and responses, only the first price that is unknown can pass the limit."""
    price = {"a": 3.0, "b": 3.0, "c": 2.0}
    budget, in_flight, committed = Budget(float(limit)), list[str](), 0.0
    for name, responses in rows:
        admission = budget.admit(name, committed)
        if admission is not Admission.WAIT:
            in_flight.append(name)
        if admission is Admission.SEND_ALONE:
            assert in_flight == [name]
        for _ in range(min(responses, len(in_flight))):
            answered = in_flight.pop(0)
            committed += price[answered]
            budget.settle(answered, price[answered])
        highest = max(price.values())
        assert committed + sum(price[name] for name in in_flight) <= max(limit, highest)


def test_price_classes() -> None:
    """Texts and media say nothing about a price; everything else may."""

    def of(**parameters: Any) -> str:
        return price_class(json.dumps(parameters).encode())

    base = {"model": "m", "prompt": "x", "duration": 3, "image_urls": ["https://a.example.com/1.png"]}
    assert of(**base) == of(**{**base, "prompt": "another", "image_urls": ["https://b.example.com/2.png"], "seed": 5})
    assert of(**base) != of(**{**base, "duration": 5})
    assert of(**base) != of(**{**base, "model": "n"})
    assert of(**base) != of(**{**base, "image_urls": base["image_urls"] * 2})
