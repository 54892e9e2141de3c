# SPDX-License-Identifier: Apache-2.0
"""Packed watches are short, printable, and the same when unpacked."""

from __future__ import annotations

import json
import random
import string
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_evolink.api.generation import is_generation_id
from airflow_provider_evolink.polling.packed_watches import pack, unpack
from airflow_provider_evolink.polling.policy import Watch

# The time of a submission and a timeout, in tenths of a second.
TENTHS = st.integers(0, 40_000_000_000)
DOCUMENTED_IDS = st.from_regex(r"task-unified-[0-9]{10}-[0-9a-z]{8}", fullmatch=True)
ALL_IDS = st.from_regex(r"[A-Za-z0-9._:-]{4,128}", fullmatch=True).filter(is_generation_id)
SECONDS = st.none() | st.floats(0, 1e6)


@st.composite
def watches(draw: st.DrawFn) -> Watch:
    """Return any watch whose times are whole tenths of a second."""
    submitted, timeout = draw(TENTHS), draw(TENTHS)
    return Watch(
        draw(DOCUMENTED_IDS | ALL_IDS),
        submitted / 10,
        (submitted + timeout) / 10,
        draw(SECONDS),
        draw(SECONDS),
        draw(st.floats(0, 1e6)),
        draw(st.none() | st.sampled_from(["a-model", "another", 'a "quoted" one', "ünïcode"])),
    )


def batch(count: int, *, spread: float = 0.0) -> list[Watch]:
    """Return the watches of a batch that is submitted in waves of a hundred, each over ``spread`` seconds."""
    rng = random.Random(1)
    watch = Watch("", 0.0, 0.0, None, 120.0, 600.0, "gemini-omni-flash-image-to-video")
    made = []
    for number in range(count):
        submitted_at = 1_757_156_493.1 + 2.3 * (number // 100) + rng.uniform(0.0, spread)
        suffix = "".join(rng.choices(string.digits + string.ascii_lowercase, k=8))
        generation_id = f"task-unified-{int(submitted_at + rng.uniform(0.0, 0.5))}-{suffix}"
        made.append(
            replace(watch, generation_id=generation_id, submitted_at=submitted_at, deadline=submitted_at + 1800.0)
        )
    return made


@given(st.lists(watches(), max_size=20))
@example([])
@example([Watch(generation_id, 1.0, 2.0) for generation_id in ("-1757156493-", "a-1757156493-b-1757156493-c", "1-2-")])
def test_round_trip(given_watches: list[Watch]) -> None:
    """Any watches, with any ids that EvoLink may return, are the same after the trip through Airflow's JSON."""
    assert unpack(json.loads(json.dumps(pack(given_watches)))) == given_watches


@given(st.floats(0, 4e9), st.floats(0, 1e6))
def test_times_are_kept_to_a_tenth_of_a_second(submitted_at: float, timeout: float) -> None:
    """Times that are finer than a tenth of a second are rounded, and stay so however often they are packed."""
    [unpacked] = unpack(pack([Watch("task-1", submitted_at, submitted_at + timeout)]))

    assert abs(unpacked.submitted_at - submitted_at) <= 0.051
    assert abs(unpacked.deadline - submitted_at - timeout) <= 0.051
    assert unpack(pack([unpacked])) == [unpacked]


@pytest.mark.parametrize(("spread", "most"), [(0.0, 7_100), (1.5, 8_400)], ids=["a time for each wave", "each its own"])
def test_a_thousand_are_a_few_kibibytes(spread: float, most: int) -> None:
    """A thousand ids take about 7 bytes each, of which their random characters alone need 6.5, and need no escapes."""
    packed = pack(batch(1000, spread=spread))

    assert [watch.generation_id for watch in unpack(packed)] == [
        watch.generation_id for watch in batch(1000, spread=spread)
    ]
    assert len(json.dumps(packed)) == len(packed) + 2 <= most


def test_models_that_alternate_are_stored_once() -> None:
    """A batch whose rows name three models in turn takes little more than one with a single model."""
    mixed = [replace(watch, model=f"model-{number % 3}") for number, watch in enumerate(batch(1000))]

    assert unpack(pack(mixed))[1].model == "model-1"
    assert len(pack(mixed)) <= len(pack(batch(1000))) + 100


@pytest.mark.parametrize(
    "packed", ["", " ", "x", "a b c", pack(batch(3))[:-3], pack(batch(3)).split(" ")[0], None, 7, {"ids": []}]
)
def test_what_can_not_be_read_is_an_error(packed: object) -> None:
    """A text that is cut off, or that another version has stored, is an error that says so, not a shorter list."""
    with pytest.raises(ValueError, match="packed generations can't be read"):
        unpack(packed)  # type: ignore[arg-type]
