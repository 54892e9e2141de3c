# SPDX-License-Identifier: Apache-2.0
"""``max_credits``: what EvoLink counts never passes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.batch.errors import BatchFailedError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from tests.batch.batches import batch, clear, retry, rows, run, stored_rows
from tests.batch.outcomes import assert_all_landed, charges, failure_of, lines_of, submissions
from tests.task_harness import TaskHarness

# What the emulator reserves for a row of 3 seconds.
PRICE = 30.7


def committed(emulator: EmulatorHandle) -> float:
    """Return what EvoLink has reserved and charged."""
    credits_ = emulator.control.state()["credits"]
    return float(credits_["reserved"] + credits_["charged"])


@contextmanager
def most_committed(emulator: EmulatorHandle) -> Iterator[list[float]]:
    """Watch what EvoLink has reserved and charged; the list holds the most of it."""
    most, is_over = [0.0], threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            most[0] = max(most[0], committed(emulator))
            time.sleep(0.1)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        is_over.set()
        thread.join()
        most[0] = max(most[0], committed(emulator))


@pytest.mark.parametrize("fault", [None, "lost_response", "generation_failed"])
def test_the_limit_holds_with_a_hundred_concurrent_submissions(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, fault: str | None
) -> None:
    """With several price classes, lost responses and retries, no sum that EvoLink counts passes the limit."""
    table = rows(120)
    for number, row in enumerate(table):
        row["duration"] = 3 + number % 4
    limit = 30 * PRICE
    if fault is not None:
        options = {"code": "service_error"} if fault == "generation_failed" else {}
        evolink.control.inject(fault, on="submit", times=None, probability=0.3, **options)
    operator = batch(table, tmp_path, max_in_flight=100, max_credits=limit)

    with most_committed(evolink) as most:
        for attempt in (run, retry, clear):
            failure_of(attempt, harness, operator)

    assert limit / 2 < most[0] <= limit
    assert max(charges(evolink).values()) == 1


def test_the_limit_holds_when_generations_are_completed_at_once(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A response that has results and a charge, and thus no reservation, counts with its charge."""
    evolink.control.set_variants(created_status="completed")

    failure = failure_of(run, harness, batch(rows(10), tmp_path, max_credits=3.5 * PRICE))

    assert isinstance(failure, BatchFailedError)
    assert committed(evolink) == pytest.approx(3 * 29.78)


def test_a_limit_that_a_template_left_empty_is_refused(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """It is not taken for no limit."""
    operator = batch(rows(1), tmp_path)
    operator.max_credits = "None"

    with pytest.raises(EvoLinkFailException, match=r"^`max_credits`='None' is invalid: .* a template found no value"):
        run(harness, operator)
    assert submissions(evolink) == 0


def test_the_error_says_how_to_go_on(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """What is paid lands; the error names the limit and what is spent; with a higher one the rest is generated."""
    table = rows(5)
    failure = failure_of(run, harness, batch(table, tmp_path, max_credits=3.5 * PRICE))

    assert isinstance(failure, BatchFailedError)
    assert failure.permanent
    assert [line["status"] for line in lines_of(failure).values()] == ["landed"] * 3 + ["unfinished"] * 2
    assert "max_credits" in str(failure)
    assert f"{3 * 29.78:g}" in str(failure)
    sent = submissions(evolink)
    failure_of(retry, harness, batch(table, tmp_path, max_credits=3.5 * PRICE))
    assert submissions(evolink) == sent

    assert_all_landed(clear(harness, batch(table, tmp_path, max_credits=1000)), table, evolink)


def test_an_unknown_price_is_learned_from_one_row(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """The first row of each price class is alone in its wave, so that two unknown prices are never at risk together."""
    table = [*rows(6), *[{**row, "sku": f"B{row['sku']}", "duration": 10} for row in rows(2)]]

    summary = run(harness, batch(table, tmp_path, max_credits=10_000))

    assert summary["landed"] == 8
    alone = [write for write in harness.store.writes if len(_open_rows(write)) == 1]
    assert len(alone) >= 2


def test_what_is_in_doubt_is_resolved_before_anything_is_sent(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """A submission in doubt far down the table does not block the rows that were added above it."""
    old, new = rows(2), [{"sku": f"B{number}", "prompt": f"New {number}", "duration": 3} for number in range(3)]
    evolink.control.inject("lost_response", on="submit", times=2)
    failure_of(run, harness, batch(old[:1], tmp_path, max_credits=1000))

    summary = retry(harness, batch([*new, *old], tmp_path, max_credits=1000))

    assert_all_landed(summary, [*new, *old], evolink)


def test_a_changed_row_does_not_hide_its_new_price(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path
) -> None:
    """What the old request cost says nothing about the new one, which is dearer."""
    table = rows(10)
    run(harness, batch(table, tmp_path))
    dearer = [{**row, "duration": 10} for row in table]
    spent = committed(evolink)
    limit = spent + 250
    operator = batch(dearer, tmp_path, max_credits=limit, on_changed_input="resubmit")

    with most_committed(evolink) as most:
        failure_of(retry, harness, operator)

    assert spent < most[0] <= limit


def test_the_window_is_never_passed(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """No more generations are under way than ``max_in_flight``, with failures and in later tries, too."""
    evolink.control.set_speed(300)
    evolink.control.inject("generation_failed", on="submit", times=None, probability=0.3, code="service_error")
    for window in (1, 3):
        harness.__init__()  # type: ignore[misc]
        most, is_over = [0], threading.Event()

        def watch(most: list[int] = most, is_over: threading.Event = is_over) -> None:
            while not is_over.is_set():
                statuses = [generation["status"] for generation in evolink.control.state()["generations"]]
                most[0] = max(most[0], sum(status in {"pending", "processing"} for status in statuses))
                time.sleep(0.005)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            operator = batch(rows(7), tmp_path / str(window), max_in_flight=window)
            for attempt in (run, retry):
                try:
                    attempt(harness, operator)
                    break
                except BatchFailedError:
                    pass
        finally:
            is_over.set()
            thread.join()
        assert most[0] == window


def _open_rows(write: dict[str, Any]) -> list[str]:
    return [row["key"] for row in stored_rows(write) if row.get("record", {}).get("phase") == "intent"]
