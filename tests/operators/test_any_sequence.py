# SPDX-License-Identifier: Apache-2.0
"""Any sequence of crashes, retries, clears, lost responses, changed prompts and pictures: one charge for one result."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_evolink.api.errors import StaleRequestError, SubmissionUnknownError
from airflow_provider_evolink.submission.decision import REPLAY_SECONDS
from tests.marks import needs_state_stores
from tests.operators.airflow_in_memory import SimulatedTask
from tests.uploading import write_picture

# Little goes wrong most of the time, so that sequences get far; a lost response is the worst that can happen.
WRITES = st.just([]) | st.lists(st.sampled_from(["ok", "ok", "fails", "dies before", "dies after"]), max_size=4)
OUTCOMES = (
    "ok",
    "dies before",
    "dies after",
    "unreachable",
    "connection_reset",
    "html_response",
    "402",
    "403",
    "429",
    "503",
)
KILLED = ("killed at ok", "killed at lost", "killed at 429", "killed at 503", "killed at unreachable")
SENDS = st.lists(st.sampled_from(["lost", "lost behind 503"]), max_size=2).flatmap(
    lambda lost: st.lists(st.sampled_from((*OUTCOMES, *KILLED)), max_size=2).map(lambda others: [*lost, *others])
)


class AnySequence(RuleBasedStateMachine):
    """A task instance to which anything can happen, in any order."""

    in_files = False

    @initialize(
        unknown=st.sampled_from(["replay", "replay", "fail"]),
        clear=st.sampled_from(["reuse", "reuse", "resubmit"]),
        change=st.sampled_from(["fail", "resubmit"]),
        waits=st.sampled_from([True, True, False]),
        calls=st.sampled_from([1, 1, 2]),
        empties=st.booleans(),
        has_picture=st.booleans(),
    )
    def begin(
        self, unknown: str, clear: str, change: str, waits: bool, calls: int, empties: bool, has_picture: bool
    ) -> None:
        """Start with some policies, on an Airflow that empties its store on a clear, or does not."""
        self.patch = pytest.MonkeyPatch()
        self.folder = TemporaryDirectory()
        picture = Path(self.folder.name, "a.png") if has_picture else None
        if picture is not None:
            write_picture(picture)
        policies = {"on_unknown_submission": unknown, "on_clear": clear, "on_changed_input": change}
        ledgers = Path(self.folder.name, "ledgers") if self.in_files else None
        if ledgers is not None:
            ledgers.mkdir()
        # Operators that are executed by hand can't be resumed, and would wait in this process.
        self.task = SimulatedTask(
            self.patch,
            calls=calls,
            empties_on_clear=empties,
            picture=picture,
            ledgers=ledgers,
            wait_for_completion=waits and calls == 1,
            **policies,
        )
        # Number of generations that the author has explicitly agreed to pay for.
        self.agreed = calls
        self.changes = 0
        self.seconds_passed = 0.0

    def teardown(self) -> None:
        """With all faults over, the result is returned, or an error leads to it."""
        if hasattr(self, "task"):
            self._check_the_end()
            self.patch.undo()
            self.folder.cleanup()

    @precondition(lambda self: not self.task.is_deferred and self.task.delivered is None)
    @rule(writes=WRITES, sends=SENDS)
    def retry(self, writes: list[str], sends: list[str]) -> None:
        """Airflow runs the next try."""
        self.task.attempt(cleared=False, writes=writes, sends=sends)

    @rule(writes=WRITES, sends=SENDS)
    def clear(self, writes: list[str], sends: list[str]) -> None:
        """A person clears the task, whatever its state."""
        if self.task.policies["on_clear"] == "resubmit":
            self.agreed += self.task.calls
        self.task.attempt(cleared=True, writes=writes, sends=sends)

    @precondition(lambda self: self.task.harness.ti.try_number > 1)
    @rule()
    def a_late_try_wakes_up(self) -> None:
        """A worker that was cut off continues after another try has superseded it."""
        self.task.wake_a_late_try()

    @precondition(lambda self: self.task.is_deferred)
    @rule(timed_out=st.booleans(), writes=WRITES)
    def resume(self, timed_out: bool, writes: list[str]) -> None:
        """The event arrives, or the deferral times out; the worker that resumes may die."""
        self.task.resume(timed_out=timed_out, writes=writes)

    @rule()
    def evolink_finishes(self) -> None:
        """EvoLink finishes all its generations."""
        self.task.emulator.backend.clock.advance(1000)

    @rule(code=st.sampled_from(["service_error", "content_policy_violation"]))
    def evolink_will_fail(self, code: str) -> None:
        """EvoLink will fail to make the next generation."""
        self.task.emulator.backend.faults.inject("generation_failed", "submit", 1, 0, {"code": code})

    @rule(is_down=st.booleans())
    def reads_fail(self, is_down: bool) -> None:
        """EvoLink becomes unreachable for reads, or reachable again."""
        self.task.network.is_down = is_down

    @rule(seconds=st.sampled_from([1.0, 70.0, 200.0, 2_000.0, REPLAY_SECONDS / 2, 86_400.0]))
    def time_passes(self, seconds: float) -> None:
        """Time passes between two tries, or while the task waits."""
        self.seconds_passed += seconds
        self.task.pass_time(seconds)

    @rule()
    def change_the_prompt(self) -> None:
        """The author edits the DAG."""
        self._count_change()
        self.task.prompt = f"A lighthouse, take {self.changes}"

    @precondition(lambda self: self.task.picture is not None)
    @rule()
    def change_the_picture(self) -> None:
        """The picture is replaced by another one of the same name."""
        self._count_change()
        write_picture(self.task.picture, version=self.changes)

    @precondition(lambda self: self.task.picture is not None)
    @rule()
    def move_the_picture(self) -> None:
        """The picture gets another name, which changes nothing."""
        self.task.picture = self.task.picture.rename(self.task.picture.with_name(f"{self.changes}-moved.png"))

    @rule(count=st.integers(1, 6))
    def uploads_fail(self, count: int) -> None:
        """EvoLink will fail to store the next files."""
        self.task.network.failing_uploads = count

    @invariant()
    def nothing_unwanted_is_charged(self) -> None:
        """Nothing is charged without the author's or a person's consent."""
        if hasattr(self, "task"):
            assert len(self.task.paid) <= self.agreed

    @invariant()
    def nothing_is_lost(self) -> None:
        """Everything that is charged can be found from the ledger."""
        if hasattr(self, "task"):
            assert [paid for paid in self.task.paid if not self.task.is_findable(paid)] == []

    @invariant()
    def fail_sends_an_idempotency_key_once(self) -> None:
        """A submission in doubt is not sent again if the author forbids it."""
        if hasattr(self, "task") and self.task.policies["on_unknown_submission"] == "fail":
            assert max(self.task.network.sent.values(), default=0) <= 1

    @invariant()
    def nothing_is_sent_after_a_kill(self) -> None:
        """A killed task submits nothing more."""
        if hasattr(self, "task"):
            assert self.task.network.sent_after_kill == 0

    def _count_change(self) -> None:
        self.changes += 1
        if self.task.policies["on_changed_input"] == "resubmit":
            self.agreed += self.task.calls

    def _check_the_end(self) -> None:
        task = self.task
        task.end_all_faults()
        task.policies["on_clear"] = "reuse"
        for _ in range(3):
            task.attempt(cleared=True)
            if task.is_deferred:
                task.end_all_faults()
                task.resume(timed_out=False)
            if self._is_complete():
                break
            task.end_all_faults()
        self.nothing_unwanted_is_charged()
        self.nothing_is_lost()
        if task.delivered:
            assert self._is_complete()
            assert {record["generation_id"] for record in task.delivered} <= task.paid
        else:
            assert self._needs_a_person(task.error)

    def _is_complete(self) -> bool:
        return bool(self.task.delivered) and all(
            record["status"] == "completed" for record in self.task.delivered or ()
        )

    def _needs_a_person(self, error: BaseException | None) -> bool:
        """Return whether a person has to decide: the request has changed, or a lost response must not be replayed."""
        may_refuse = (
            self.changes
            or self.task.policies["on_unknown_submission"] == "fail"
            or (self.seconds_passed >= REPLAY_SECONDS and self.task.in_doubt_for() >= REPLAY_SECONDS)
        )
        return bool(may_refuse) and isinstance(error, StaleRequestError | SubmissionUnknownError)


class AnySequenceInFiles(AnySequence):
    """The same with a ledger in numbered files, as before Airflow 3.3."""

    in_files = True


AnySequence.TestCase.settings = settings(max_examples=400, stateful_step_count=14)
AnySequenceInFiles.TestCase.settings = settings(max_examples=200, stateful_step_count=14)
TestAnySequence = needs_state_stores(AnySequence.TestCase)
TestAnySequenceInFiles = AnySequenceInFiles.TestCase
