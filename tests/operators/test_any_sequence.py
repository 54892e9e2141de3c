"""Any sequence of crashes, retries, clears, lost answers and changes of mind: one charge for one result."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_evolink.submission.decision import REPLAY_SECONDS
from tests.operators.airflow_in_memory import World

# Most of the time little goes wrong, so that sequences come far; and an answer that is lost is the worst that can.
WRITES = st.just([]) | st.lists(st.sampled_from(["ok", "ok", "fails", "dies before", "dies after"]), max_size=4)
ENDS = ("ok", "dies before", "dies after", "unreachable", "reset", "html", "402", "403", "429", "503")
KILLED = ("killed at ok", "killed at lost", "killed at 429", "killed at 503", "killed at unreachable")
SENDINGS = st.lists(st.sampled_from(["lost", "lost behind 503"]), max_size=2).flatmap(
    lambda lost: st.lists(st.sampled_from((*ENDS, *KILLED)), max_size=2).map(lambda then: [*lost, *then])
)


class AnySequence(RuleBasedStateMachine):
    """A task instance to which anything may happen, in any order."""

    @initialize(
        unknown=st.sampled_from(["replay", "replay", "fail"]),
        clear=st.sampled_from(["reuse", "reuse", "resubmit"]),
        change=st.sampled_from(["fail", "resubmit"]),
        waits=st.sampled_from([True, True, False]),
        calls=st.sampled_from([1, 1, 2]),
        empties=st.booleans(),
    )
    def begin(self, unknown: str, clear: str, change: str, waits: bool, calls: int, empties: bool) -> None:
        """Start with the policies of a DAG's author, on an Airflow that empties its store on a clear, or does not."""
        self.patch = pytest.MonkeyPatch()
        policies = {"on_unknown_submission": unknown, "on_clear": clear, "on_changed_input": change}
        # Operators that are executed by hand can't be resumed, and would wait here.
        self.world = World(
            self.patch,
            calls=calls,
            empties_on_clear=empties,
            wait_for_completion=waits and calls == 1,
            **policies,
        )
        # How many charged generations the author has asked for, in so many words.
        self.asked_for = calls
        self.changes = 0
        self.passed = 0.0

    def teardown(self) -> None:
        """In the end, with all disturbances over, the result is there, or its error leads to it."""
        if hasattr(self, "world"):
            self._check_the_end()
            self.patch.undo()

    @precondition(lambda self: not self.world.is_deferred and self.world.delivered is None)
    @rule(writes=WRITES, sendings=SENDINGS)
    def retry(self, writes: list[str], sendings: list[str]) -> None:
        """Airflow runs the next try."""
        self.world.attempt(cleared=False, writes=writes, sendings=sendings)

    @rule(writes=WRITES, sendings=SENDINGS)
    def clear(self, writes: list[str], sendings: list[str]) -> None:
        """A person clears the task, whatever its state."""
        if self.world.policies["on_clear"] == "resubmit":
            self.asked_for += self.world.calls
        self.world.attempt(cleared=True, writes=writes, sendings=sendings)

    @precondition(lambda self: self.world.harness.ti.try_number > 1)
    @rule()
    def a_late_try_wakes_up(self) -> None:
        """A worker that was cut off goes on, after another try has taken its place."""
        self.world.wake_a_late_try()

    @precondition(lambda self: self.world.is_deferred)
    @rule(timed_out=st.booleans(), writes=WRITES)
    def resume(self, timed_out: bool, writes: list[str]) -> None:
        """The event comes, or the deferral times out; the worker that resumes may die."""
        self.world.resume(timed_out=timed_out, writes=writes)

    @rule()
    def evolink_finishes(self) -> None:
        """EvoLink ends all that it has begun."""
        self.world.emulator.backend.clock.advance(1000)

    @rule(code=st.sampled_from(["service_error", "content_policy_violation"]))
    def evolink_will_fail(self, code: str) -> None:
        """EvoLink fails to make the next generation."""
        self.world.emulator.backend.faults.inject("generation_failed", "submit", 1, 0, {"code": code})

    @rule(is_down=st.booleans())
    def reads_fail(self, is_down: bool) -> None:
        """EvoLink can't be asked any more, or again."""
        self.world.wire.is_down = is_down

    @rule(seconds=st.sampled_from([1.0, 70.0, 200.0, 2_000.0, REPLAY_SECONDS / 2, 86_400.0]))
    def time_passes(self, seconds: float) -> None:
        """Between two tries, or while the task waits."""
        self.passed += seconds
        self.world.pass_time(seconds)

    @rule()
    def change_the_prompt(self) -> None:
        """The author edits the DAG."""
        self.changes += 1
        if self.world.policies["on_changed_input"] == "resubmit":
            self.asked_for += self.world.calls
        self.world.prompt = f"A lighthouse, take {self.changes}"

    @invariant()
    def one_charge_for_one_wish(self) -> None:
        """Nothing is charged that nobody has asked for."""
        if hasattr(self, "world"):
            assert len(self.world.paid) <= self.asked_for

    @invariant()
    def nothing_is_lost(self) -> None:
        """Whatever is charged can be found from the ledger."""
        if hasattr(self, "world"):
            assert [one for one in self.world.paid if not self.world.is_findable(one)] == []

    @invariant()
    def fail_sends_a_key_once(self) -> None:
        """A submission in doubt is not sent again where the author forbids it."""
        if hasattr(self, "world") and self.world.policies["on_unknown_submission"] == "fail":
            assert max(self.world.wire.sent.values(), default=0) <= 1

    @invariant()
    def nothing_is_sent_after_a_kill(self) -> None:
        """A task that is told to stop submits nothing more."""
        if hasattr(self, "world"):
            assert self.world.wire.sent_after_kill == 0

    def _check_the_end(self) -> None:
        world = self.world
        world.settle_down()
        world.policies["on_clear"] = "reuse"
        for _ in range(3):
            world.attempt(cleared=True)
            if world.is_deferred:
                world.settle_down()
                world.resume(timed_out=False)
            if self._is_complete():
                break
            world.settle_down()
        self.one_charge_for_one_wish()
        self.nothing_is_lost()
        if world.delivered:
            assert self._is_complete()
            assert {record["generation_id"] for record in world.delivered} <= world.paid
        else:
            assert self._is_refused_rightly(world.errors[-1])

    def _is_complete(self) -> bool:
        return bool(self.world.delivered) and all(one["status"] == "completed" for one in self.world.delivered or ())

    def _is_refused_rightly(self, error: str) -> bool:
        """A person has to decide: the request has changed, or an answer was lost that may not be asked for again."""
        may_stop = (
            self.changes
            or self.world.policies["on_unknown_submission"] == "fail"
            or (self.passed >= REPLAY_SECONDS and "too long ago" in error)
        )
        return bool(may_stop) and ("has changed since" in error or "may have been charged" in error)


AnySequence.TestCase.settings = settings(max_examples=400, stateful_step_count=14)
TestAnySequence = AnySequence.TestCase
