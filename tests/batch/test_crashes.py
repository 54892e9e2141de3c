# SPDX-License-Identifier: Apache-2.0
"""A worker that dies at any write of the ledger: one charge for each row, and every row landed."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.landing import storage
from tests.batch.batches import batch, retry, rows, run
from tests.batch.outcomes import assert_all_landed, charges, submissions
from tests.operators.submissions import DyingStore, WorkerDied
from tests.task_harness import TaskHarness

pytestmark = pytest.mark.usefixtures("each_ledger")

ROWS = rows(7)
WINDOW = 3
# Far more than there are; the last ones check that there are no others.
WRITES = range(1, 12)


@pytest.fixture(autouse=True)
def _sockets_of_the_dead() -> Iterator[None]:
    """A worker that dies closes nothing: drop what it has left here, and not during another test."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("evolink-landing"):
            thread.join(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", WRITES)
def test_a_worker_that_dies_around_any_write_pays_once(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, write: int, after: bool
) -> None:
    """Whichever write it dies before or after, the next try lands all rows, and each was charged once."""
    harness.store = DyingStore(write, after=after)
    operator = batch(ROWS, tmp_path, max_in_flight=WINDOW)
    try:
        summary = run(harness, operator)
    except WorkerDied:
        sent, paid = submissions(evolink), sum(charges(evolink).values())

        summary = retry(harness, operator)

        # At most the open wave is sent again, and each row only once more.
        assert submissions(evolink) <= len(ROWS) + WINDOW
        assert sent >= paid
    assert_all_landed(summary, ROWS, evolink)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_landing_that_kills_every_worker_pays_for_one_window(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later try lands what is paid for before it submits more, so that a deadly landing costs one window."""
    publish = storage.publish

    def die(*_: Any, **__: Any) -> None:
        raise WorkerDied

    monkeypatch.setattr(storage, "publish", die)
    operator = batch(ROWS, tmp_path, max_in_flight=WINDOW)
    for attempt in (run, retry, retry, retry):
        with pytest.raises(WorkerDied):
            attempt(harness, operator)
    assert submissions(evolink) <= 2 * WINDOW
    monkeypatch.setattr(storage, "publish", publish)

    assert_all_landed(retry(harness, operator), ROWS, evolink)
    assert submissions(evolink) == len(ROWS)
