# SPDX-License-Identifier: Apache-2.0
"""The policy decides when to poll again, when to stop, and what a failed poll means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.generation import Generation, parse_generation
from airflow_provider_evolink.polling import policy
from airflow_provider_evolink.polling.policy import Outcome, PollAgain, Progress, StopPolling, Watch
from airflow_provider_evolink.polling.poll_plan import FLOOR, Durations, ObservedDuration, Plan, plan
from tests import hostile

START = 1_000_000.0
WATCH = Watch("task-unified-1", submitted_at=START, deadline=START + 1800)
NO_JITTER = 0.5
PLAN = Plan(ages=(60.0, 80.0, 95.0), max_gap=60.0)


def generation(status: str = "processing", progress: int | None = None) -> Generation:
    """Return the generation as EvoLink reports it."""
    return Generation(id="task-unified-1", status=status, progress=progress)


def polls_again(step: PollAgain | StopPolling) -> PollAgain:
    """Return the step, which must be another poll."""
    assert isinstance(step, PollAgain)
    return step


def test_the_first_poll_follows_the_plan() -> None:
    """The first poll comes at the plan's first age, with a jitter of one percent."""
    delays = [policy.first_delay(WATCH, PLAN, now=START, jitter=jitter) for jitter in (0.0, 0.5, 1.0)]

    assert delays == pytest.approx([59.4, 60.0, 60.6])


def test_a_resumed_wait_keeps_to_the_plan() -> None:
    """A restarted triggerer polls when the last one would have, counted from the submission."""
    assert policy.first_delay(WATCH, PLAN, now=START + 40, jitter=NO_JITTER) == pytest.approx(20.0)


def test_overdue_waits_do_not_all_poll_at_once() -> None:
    """A wait that is overdue when it is resumed polls within three seconds, spread by jitter."""
    delays = [policy.first_delay(WATCH, PLAN, now=START + 400, jitter=jitter) for jitter in (0.0, 0.5, 1.0)]

    assert delays == [0.0, 1.5, 3.0]


@pytest.mark.parametrize(("age", "delay"), [(60, 20.0), (80, 15.0), (85, 10.0), (95, 7.9), (600, 30.0)])
def test_further_polls_follow_the_plan_and_go_on_beyond_it(age: float, delay: float) -> None:
    """Each poll comes at the next age of the plan; beyond the last one the gaps grow with the age, up to 30 s."""
    step = policy.after_response(WATCH, Progress(), generation(), PLAN, now=START + age, jitter=NO_JITTER)

    assert polls_again(step).delay == pytest.approx(delay, abs=0.1)


@pytest.mark.parametrize(
    ("before", "percent", "delay"),
    [
        (Progress(percent=50, last_response_age=50.0), 75, 10.1),
        (Progress(percent=50, last_response_age=50.0), 70, 15.15),
        (Progress(percent=50, last_response_age=50.0), 66, 21.5),
        (Progress(percent=50, last_response_age=50.0), 60, 30.0),
        (Progress(percent=50, last_response_age=50.0), 99, 10.0),
        (Progress(percent=75, last_response_age=50.0), 75, 20.0),
        (Progress(percent=80, last_response_age=50.0), 20, 20.0),
        (Progress(percent=50, last_response_age=50.0), 100, 20.0),
        (Progress(), 99, 20.0),
    ],
)
def test_progress_moves_a_poll_by_half_at_most(before: Progress, percent: int, delay: float) -> None:
    """Progress that promises another end moves the poll by half at most; progress that stalls or falls does not."""
    step = policy.after_response(WATCH, before, generation(progress=percent), PLAN, now=START + 60, jitter=NO_JITTER)

    assert polls_again(step).delay == pytest.approx(delay, abs=0.1)


@pytest.mark.parametrize(("poll_interval", "delay"), [(1.0, 1.0), (0.2, 1.0), (45.0, 45.0)])
def test_an_explicit_interval_is_kept_down_to_a_second(poll_interval: float, delay: float) -> None:
    """``poll_interval`` is used without jitter, but not below 1 s."""
    watch = replace(WATCH, poll_interval=poll_interval)

    assert (
        polls_again(policy.after_response(watch, Progress(), generation(), PLAN, now=START, jitter=0.9)).delay == delay
    )
    assert policy.first_delay(watch, PLAN, now=START, jitter=0.9) == delay


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_terminal_statuses_end_the_wait(status: str) -> None:
    """Each terminal status ends the wait, even past the deadline."""
    assert policy.after_response(
        WATCH, Progress(), generation(status), PLAN, now=START + 9999, jitter=0
    ) == StopPolling(Outcome.TERMINAL, status)


def test_an_unknown_status_is_polled_until_the_deadline() -> None:
    """An undocumented status counts as unfinished, and the deadline ends the wait."""
    assert isinstance(
        policy.after_response(WATCH, Progress(), generation("dreaming"), PLAN, now=START, jitter=0), PollAgain
    )
    assert policy.after_response(
        WATCH, Progress(), generation("dreaming"), PLAN, now=START + 1800, jitter=0
    ) == StopPolling(Outcome.DEADLINE, "dreaming")


def test_the_last_poll_is_at_the_deadline() -> None:
    """A delay is shortened so that the last poll comes at the deadline."""
    step = policy.after_response(WATCH, Progress(), generation(), PLAN, now=START + 1795, jitter=NO_JITTER)

    assert polls_again(step).delay == pytest.approx(5.0)


def test_only_changes_are_reported() -> None:
    """A new status is reported, and so is progress in steps of at least 20 percent, but nothing else."""
    progress, reported = Progress(), []
    for status, percent in [
        ("pending", 0),
        ("pending", 0),
        ("processing", 5),
        ("processing", 12),
        ("processing", 26),
        ("processing", 40),
        ("processing", 47),
        ("processing", 99),
    ]:
        step = polls_again(
            policy.after_response(WATCH, progress, generation(status, percent), PLAN, now=START, jitter=NO_JITTER)
        )
        progress = step.progress
        if step.message:
            reported.append((status, percent))
            assert status in step.message
            assert (str(percent) in step.message) == (percent > 0)

    assert reported == [("pending", 0), ("processing", 5), ("processing", 26), ("processing", 47), ("processing", 99)]


FAILURE = errors.ConnectionLostError("lost")


def test_failures_are_tolerated_for_a_time_not_a_number() -> None:
    """Any number of failed polls is tolerated for ten minutes, and a single success restarts the time."""
    progress, now = Progress(), START
    for _ in range(200):
        step = polls_again(policy.after_failure(WATCH, progress, FAILURE, now=now, jitter=NO_JITTER))
        progress, now = step.progress, now + 2.9
    assert policy.after_failure(WATCH, progress, FAILURE, now=START + 600, jitter=NO_JITTER) == StopPolling(
        Outcome.UNREACHABLE, None, "ConnectionLostError"
    )

    recovered = polls_again(
        policy.after_response(WATCH, progress, generation(), PLAN, now=START + 599, jitter=NO_JITTER)
    )
    assert recovered.progress.failing_since is None


def test_only_the_first_of_a_run_of_failures_is_reported() -> None:
    """A run of failures is reported once, with its reason."""
    first = polls_again(policy.after_failure(WATCH, Progress(), FAILURE, now=START, jitter=NO_JITTER))
    second = polls_again(policy.after_failure(WATCH, first.progress, FAILURE, now=START + 8, jitter=NO_JITTER))

    assert first.message is not None
    assert "lost" in first.message
    assert second.message is None


def test_retry_after_is_obeyed() -> None:
    """A Retry-After longer than the back-off is obeyed; a shorter one is not."""
    for retry_after, delay in ((77.0, 77.0), (1.0, 8.0)):
        limited = errors.RateLimitedError("slow down", status=429, retry_after=retry_after)
        # A gateway's page is no response of EvoLink's, but it may well name a time.
        page = errors.InvalidResponseError("html", retry_after=retry_after)
        for error in (limited, page):
            step = polls_again(policy.after_failure(WATCH, Progress(), error, now=START, jitter=NO_JITTER))
            assert step.delay == delay


def after_failures(
    failures: Sequence[tuple[float, errors.EvoLinkError]], *, watch: Watch = WATCH, progress: Progress | None = None
) -> PollAgain | StopPolling:
    """Return what follows the last of some failures, each with the age of the generation."""
    current = progress or Progress()
    step: PollAgain | StopPolling | None = None
    for age, error in failures:
        step = policy.after_failure(watch, current, error, now=watch.submitted_at + age, jitter=NO_JITTER)
        current = step.progress if isinstance(step, PollAgain) else current
    assert step is not None
    return step


NOT_FOUND = errors.GenerationNotFoundError("no", status=404, code="task_not_found")
REFUSALS = [
    NOT_FOUND,
    errors.AuthenticationError("no", status=401, code="unauthorized"),
    errors.BadRequestError("no", status=400, code="invalid_task_id"),
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error.status))
def test_a_single_refusal_ends_no_wait(error: errors.ApiError) -> None:
    """Polls are free, so after a stray refusal, or many within a short time, polling goes on."""
    assert isinstance(after_failures([(100.0, error)]), PollAgain)
    assert isinstance(after_failures([(100.0 + number, error) for number in range(50)]), PollAgain)
    assert isinstance(after_failures([(100.0, error), (290.0, error)]), PollAgain)


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error.status))
def test_refusals_that_agree_over_minutes_end_the_wait(error: errors.ApiError) -> None:
    """Several refusals of the same kind over three minutes are believed, even with outages in between."""
    step = after_failures([(100.0, error), (150.0, FAILURE), (200.0, error), (280.0, error)])

    assert isinstance(step, StopPolling)
    assert (step.outcome, step.detail) == (
        Outcome.REFUSED,
        f"{type(error).__name__} HTTP {error.status} {error.code}",
    )


def test_contradictory_refusals_end_no_wait() -> None:
    """A refusal of another kind, or a response, restarts the count."""
    denied = REFUSALS[1]
    assert isinstance(
        after_failures([(100.0, NOT_FOUND), (160.0, denied), (220.0, NOT_FOUND), (281.0, denied)]), PollAgain
    )

    before = polls_again(after_failures([(100.0, NOT_FOUND), (200.0, NOT_FOUND)])).progress
    recovered = polls_again(
        policy.after_response(WATCH, before, generation(), PLAN, now=START + 210, jitter=NO_JITTER)
    ).progress
    assert isinstance(after_failures([(281.0, NOT_FOUND)], progress=recovered), PollAgain)


def test_a_young_generation_may_not_be_found_yet() -> None:
    """A 404 within a minute of the submission counts as no refusal."""
    assert polls_again(after_failures([(5.0, NOT_FOUND), (30.0, NOT_FOUND), (59.0, NOT_FOUND)])).progress.refusals == 0


@pytest.mark.parametrize(
    "error",
    [
        errors.InsufficientCreditsError("no", status=402),
        errors.AccessDeniedError("no", status=403),
        errors.ServerError("no", status=500),
        errors.InvalidResponseError("html"),
    ],
)
def test_temporary_errors_are_tolerated(error: errors.EvoLinkError) -> None:
    """An error that may be temporary ends the wait only after ``unreachable_timeout``, since the result is paid for."""
    assert isinstance(after_failures([(number * 59.0, error) for number in range(10)]), PollAgain)
    stop = after_failures([(number * 60.0, error) for number in range(11)])
    assert isinstance(stop, StopPolling)
    assert stop.outcome is Outcome.UNREACHABLE


def test_an_invalid_id_ends_the_wait_at_once() -> None:
    """An id that is never sent to EvoLink ends the wait at once."""
    stop = after_failures([(1.0, errors.InvalidInputError("generation_id", "x", "an id"))])

    assert isinstance(stop, StopPolling)
    assert stop.outcome is Outcome.REFUSED


def test_a_missing_connection_ends_the_wait_at_once() -> None:
    """A connection that a triggerer can't find ends the wait at once, since a worker may find it."""
    stop = after_failures([(1.0, errors.ConnectionNotFoundError("no such connection"))])

    assert stop == StopPolling(Outcome.NO_CONNECTION, None, "ConnectionNotFoundError")


def test_a_rate_limit_is_no_outage() -> None:
    """A 429 never ends the wait before its deadline, and it ends a run of failures."""
    limited = errors.RateLimitedError("slow down", status=429, retry_after=30.0)
    limited_polls = [(30.0 * number, limited) for number in range(59)]

    assert isinstance(after_failures(limited_polls), PollAgain)
    assert polls_again(after_failures([(0.0, FAILURE), (100.0, limited)])).progress.failing_since is None
    assert after_failures([*limited_polls, (1800.0, limited)]) == StopPolling(
        Outcome.DEADLINE, None, "RateLimitedError HTTP 429"
    )


def test_few_failures_far_apart_are_no_outage() -> None:
    """Polls may be minutes apart under a rate limit, so it takes three failures in a row to end the wait."""
    apart = [(100.0, FAILURE), (900.0, FAILURE)]
    assert isinstance(after_failures(apart), PollAgain)
    assert isinstance(after_failures([*apart, (910.0, FAILURE)]), StopPolling)


jitters = st.floats(0, 1)


@example(before=1, percent=2, jitter=0.5, age=600.0, durations=[600.0, 900.0, 1200.0] * 3, estimate=None)
@given(
    st.one_of(st.none(), st.integers(-5, 105)),
    st.one_of(st.none(), st.integers(-5, 105)),
    jitters,
    st.floats(0, 1790),
    st.lists(st.floats(0.5, 5000), max_size=30),
    st.one_of(st.none(), st.floats(1, 5000)),
)
def test_planned_polls_keep_the_floor_and_the_longest_gap(
    before: int | None, percent: int | None, jitter: float, age: float, durations: list[float], estimate: float | None
) -> None:
    """Whatever EvoLink reports, a planned poll comes after 3 s at the earliest, and no later than gap and deadline."""
    planned = plan(durations, estimate)
    progress = Progress(percent=before, last_response_age=age / 2)
    step = policy.after_response(WATCH, progress, generation(progress=percent), planned, now=START + age, jitter=jitter)

    left = 1800 - age
    assert min(FLOOR, left) - 1e-6 <= polls_again(step).delay <= min(planned.max_gap * 1.01, left) + 1e-6


@pytest.mark.parametrize(
    ("duration", "last_response_age", "age", "observed"),
    [
        (None, 40.0, 60, ObservedDuration(50.0)),
        (45.0, 40.0, 60, ObservedDuration(45.0)),
        (0.0, 40.0, 60, ObservedDuration(50.0)),
        (500.0, 40.0, 60, ObservedDuration(50.0)),
        (None, None, 61, ObservedDuration(61.0, at_most=True)),
        (None, None, 600, None),
        (None, 40.0, 600, None),
        (45.0, None, 600, ObservedDuration(45.0)),
        (30.0, 40.0, 60, ObservedDuration(50.0)),
    ],
)
def test_the_duration_is_observed(
    duration: float | None, last_response_age: float | None, age: float, observed: ObservedDuration | None
) -> None:
    """EvoLink's figure is used if the polls allow it, else what the polls show, unless they came too late."""
    completed = replace(generation("completed"), duration=duration)
    progress = Progress(last_response_age=last_response_age)

    assert policy.observed_duration(WATCH, progress, completed, PLAN, now=START + age) == observed


def test_airflows_own_timeout_is_later() -> None:
    """The timeout of the deferral leaves time for a last poll and the event."""
    assert policy.deferral_seconds(WATCH, now=START) == 1800 + 30 + 60
    assert policy.deferral_seconds(replace(WATCH, poll_interval=300), now=START + 1799) == 1 + 300 + 60
    assert policy.deferral_seconds(WATCH, now=START + 5000) == 90


@given(hostile.corrupted(hostile.CREATED, hostile.COMPLETED, hostile.FAILED), jitters, st.floats(0, 1790))
def test_any_response_that_can_be_parsed_is_decided(body: object, jitter: float, age: float) -> None:
    """No response that can be parsed makes the next poll too early or too late, or its message unprintable."""
    try:
        parsed = parse_generation(body)
    except errors.InvalidResponseError:
        return
    planned = Durations().plan(parsed.model, parsed.estimated_time)
    step = policy.after_response(WATCH, Progress(), parsed, planned, now=START + age, jitter=jitter)

    assert isinstance(step, StopPolling) == parsed.is_terminal
    if isinstance(step, PollAgain):
        assert 0 <= step.delay <= planned.max_gap * 1.01 + 1e-6
        assert (step.message or "").isprintable()
    assert 0 <= policy.first_delay(WATCH, planned, now=START + age, jitter=jitter) <= planned.max_gap * 1.01 + 1e-6
