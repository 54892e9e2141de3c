# SPDX-License-Identifier: Apache-2.0
"""Any sequence of crashes, retries, clears, lost responses, failed uploads and changes: one charge for a landed row."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import EvoLinkError, LedgerError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from tests.batch.batches import batch, clear, manifest, retry, run, stored_rows
from tests.batch.outcomes import assert_true, charges, submissions
from tests.marks import needs_state_stores
from tests.operators.submissions import DyingStore, WorkerDied
from tests.task_harness import FailingStore, Store, TaskHarness, TaskInstance, asset_stores, ledger_in_files
from tests.uploading import LINKS_ONLY, forget_links, write_picture

FAULTS: dict[str, dict[str, Any]] = {
    "lost_response": {},
    "connection_reset": {},
    "server_error": {"status": 503, "processed": True},
    "html_response": {},
    "http_error": {"status": 400},
    "generation_failed": {"code": "service_error"},
    "rate_limit": {"retry_after": 0},
}
EMPTIED, IN_FILES = "emptied by a clear", "in files"
UPLOAD_FAULTS = ("server_error", "connection_reset", "lost_response", "html_response")
# The write at which the worker dies; 0 = it lives.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["nothing", "add", "remove", "change", "reverse", "a late try wakes up"]),
        st.none() | st.tuples(st.sampled_from(sorted(FAULTS)), st.integers(1, 3), st.integers(0, 3)),
        st.none() | st.tuples(st.sampled_from(UPLOAD_FAULTS), st.integers(1, 9)),
        st.sampled_from([retry, retry, clear]),
        st.integers(0, 7),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


class SimulatedBatch:
    """A task instance with a table, to which anything can happen."""

    def __init__(
        self, emulator: EmulatorHandle, folder: Path, ledger: str, has_pictures: bool, **arguments: Any
    ) -> None:
        self._emulator, self._folder, self._arguments = emulator, folder, arguments
        self._empties_on_clear = ledger == EMPTIED
        self._in_files = ledger == IN_FILES
        self._has_pictures = has_pictures
        self._shared = write_picture(folder / "shared.png", 1000)
        # How many generations of a row the author has agreed to pay for.
        self.agreed = 1
        self.copies = Store()
        copies = self.copies

        class Harness(TaskHarness):
            @property
            def context(self) -> Any:
                return {**super().context, **asset_stores(copies)}

        # The first try is the late one.
        self.harness, self._late = (
            Harness(ti=TaskInstance()),
            Harness(ti=TaskInstance(), store=FailingStore(*range(99))),
        )
        self.versions: dict[str, int] = {"A": 0, "B": 0, "C": 0}
        self.order = list(self.versions)

    @property
    def table(self) -> list[dict[str, Any]]:
        """The rows: a changed one has a prompt, and a picture, that it never had before."""
        return [self._row(key) for key in self.order]

    def _row(self, key: str) -> dict[str, Any]:
        row = {"sku": key, "prompt": f"{key} {self.versions[key]}", "duration": 3}
        if not self._has_pictures:
            return row
        picture = write_picture(self._folder / f"{key}.png", self.versions[key])
        return {**row, "model": LINKS_ONLY, "image_urls": [picture, self._shared]}

    def edit(self, change: str) -> None:
        """Change the table."""
        if change == "add":
            key = chr(ord("A") + len(self.versions))
            self.versions[key] = 0
            self.order.insert(len(self.order) // 2, key)
        elif change == "remove":
            del self.order[1:2]
        elif change == "change":
            self.versions[self.order[0]] += 1
        elif change == "reverse":
            self.order.reverse()
        elif change == "a late try wakes up":
            self.wake_a_late_try()

    def wake_a_late_try(self) -> None:
        """Run a first try that was superseded before it had read or written: Airflow refuses its writes.

        Files accept them as long as no later try has written; that one then finds what this one has paid for.
        """
        if self._in_files:
            self._late.store = Store()
            with suppress(LedgerError, EvoLinkFailException):
                run(self._late, self._operator())
            return
        sent = submissions(self._emulator)
        with pytest.raises(LedgerError):
            run(self._late, self._operator())
        assert submissions(self._emulator) == sent

    def attempt(self, kind: Any, write: int, *, after: bool) -> dict[str, Any] | None:
        """Run a try, whose worker may die around a write; return the summary of one that succeeds."""
        store = DyingStore(write, after=after)
        store.held = self.harness.store.held
        self.harness.store = store
        if kind is clear:
            self.agreed += self._arguments["on_clear"] == "resubmit"
            if self._empties_on_clear:
                store.held.clear()
        try:
            return dict(kind(self.harness, self._operator()))
        except (WorkerDied, EvoLinkError, EvoLinkFailException):
            return None

    def move_conflicting_files(self) -> None:
        """Do what the manifest asks for: a row that has changed does not replace what it may not have landed itself."""
        path = self._folder / "manifest-task.jsonl"
        for line in manifest({"manifest": str(path)}) if path.exists() else ():
            if (line["error"] or {}).get("code") == "FileConflict":
                assert self.versions[line["key"]] > 0
                shutil.rmtree(self._folder / line["key"], ignore_errors=True)

    def end_resubmissions(self) -> None:
        """Let clears reuse from now on."""
        self._arguments["on_clear"] = "reuse"

    def _operator(self) -> EvoLinkBatchOperator:
        return batch(self.table, self._folder, on_changed_input="resubmit", **self._arguments)

    def assert_nothing_is_paid_twice_or_lost(self) -> None:
        """Check that no prompt was charged twice, and that the ledger leads to everything that was charged."""
        assert max(charges(self._emulator).values(), default=0) <= self.agreed
        held = [*self.harness.store.held.values(), *self.copies.held.values()]
        ledgers = json.dumps([stored_rows(json.loads(value)) for value in held])
        for generation in self._emulator.control.state()["generations"]:
            assert generation["id"] in ledgers or generation["idempotency_key"] in ledgers

    def assert_complete(self, summary: dict[str, Any]) -> None:
        """Check that every row of the table has landed, from its own prompt, and that its manifest says so."""
        lines = manifest(summary)
        assert [(line["key"], line["status"]) for line in lines] == [(key, "landed") for key in self.order]
        assert_true(lines, self._emulator)
        made = {generation["id"]: generation for generation in self._emulator.control.state()["generations"]}
        assert [made[line["generation_id"]]["prompt"] for line in lines] == [row["prompt"] for row in self.table]
        landed = Counter(uri for line in lines for uri in line["uris"])
        assert set(landed.values()) == {1}


# A worker that dies closes nothing.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "ledger",
    [
        pytest.param("kept by Airflow", marks=needs_state_stores),
        pytest.param(EMPTIED, marks=needs_state_stores),
        IN_FILES,
    ],
)
@given(
    steps=STEPS,
    window=st.integers(1, 3),
    max_credits=st.sampled_from([None, 50_000]),
    on_clear=st.sampled_from(["reuse", "reuse", "resubmit"]),
    has_pictures=st.booleans(),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence(
    evolink: EmulatorHandle,
    ledger: str,
    steps: list[tuple[Any, ...]],
    window: int,
    max_credits: float | None,
    on_clear: str,
    has_pictures: bool,
) -> None:
    """Nothing is charged twice, nothing is lost, and in the end every row has landed."""
    with TemporaryDirectory() as folder, TemporaryDirectory() as ledgers, pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_provider_evolink.batch.ledger.ROWS_PER_CHUNK", 2)
        forget_links(patch)
        if ledger == IN_FILES:
            ledger_in_files(patch, Path(ledgers))
        evolink.control.reset()
        evolink.control.set_speed(20_000)
        evolink.control.add_credits(100_000)
        task = SimulatedBatch(
            evolink,
            Path(folder),
            ledger,
            has_pictures,
            max_in_flight=window,
            max_credits=max_credits,
            on_clear=on_clear,
        )
        for change, fault, upload_fault, kind, write, after in steps:
            task.edit(change)
            if fault is not None:
                name, times, skipped = fault
                evolink.control.inject(name, on="submit", times=times, after=skipped, **FAULTS[name])
            if upload_fault is not None:
                evolink.control.inject(upload_fault[0], on="upload", times=upload_fault[1])
            task.attempt(kind, write, after=after)
            task.assert_nothing_is_paid_twice_or_lost()
        task.end_resubmissions()
        # Faults that have not fired yet still do.
        for kind in (retry, retry, *[clear] * 15):
            summary = task.attempt(kind, 0, after=False)
            if summary is not None:
                break
            task.move_conflicting_files()
        assert summary is not None
        task.assert_complete(summary)
        task.assert_nothing_is_paid_twice_or_lost()
