"""When to ask again, when to stop, what a failed question means."""

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
MIDDLE = 0.5
PLAN = Plan(ages=(60.0, 80.0, 95.0), max_gap=60.0)


def seen(status: str = "processing", progress: int | None = None) -> Generation:
    """What EvoLink says of the generation."""
    return Generation(id="task-unified-1", status=status, progress=progress)


def ask(step: PollAgain | StopPolling) -> PollAgain:
    """The step, which must be another question."""
    assert isinstance(step, PollAgain)
    return step


def test_the_first_question_is_asked_as_planned() -> None:
    """At the plan's first age, a hundredth earlier or later by chance."""
    delays = [policy.first_delay(WATCH, PLAN, now=START, jitter=chance) for chance in (0.0, 0.5, 1.0)]

    assert delays == pytest.approx([59.4, 60.0, 60.6])


def test_a_wait_that_is_taken_up_keeps_to_the_plan() -> None:
    """A triggerer that is started again asks when the last one would have, counted from the submission."""
    assert policy.first_delay(WATCH, PLAN, now=START + 40, jitter=MIDDLE) == pytest.approx(20.0)


def test_overdue_waits_do_not_ask_all_at_once() -> None:
    """A wait taken up too late asks within three seconds, spread by chance."""
    later = [policy.first_delay(WATCH, PLAN, now=START + 400, jitter=chance) for chance in (0.0, 0.5, 1.0)]

    assert later == [0.0, 1.5, 3.0]


@pytest.mark.parametrize(("age", "delay"), [(60, 20.0), (80, 15.0), (85, 10.0), (95, 7.9), (600, 30.0)])
def test_further_questions_follow_the_plan_and_go_on_beyond_it(age: float, delay: float) -> None:
    """Each question looks for the next age of the plan; after its last one the pauses grow with the age, up to 30 s."""
    step = policy.after_response(WATCH, Progress(), seen(), PLAN, now=START + age, jitter=MIDDLE)

    assert ask(step).delay == pytest.approx(delay, abs=0.1)


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
def test_progress_moves_a_question_by_half_at_most(before: Progress, percent: int, delay: float) -> None:
    """A progress that promises another end is believed, with a limit; one that stands still or goes back is not."""
    step = policy.after_response(WATCH, before, seen(progress=percent), PLAN, now=START + 60, jitter=MIDDLE)

    assert ask(step).delay == pytest.approx(delay, abs=0.1)


@pytest.mark.parametrize(("given", "used"), [(1.0, 1.0), (0.2, 1.0), (45.0, 45.0)])
def test_an_explicit_interval_is_honoured_down_to_a_second(given: float, used: float) -> None:
    """``poll_interval`` is used as it is, without jitter, at least 1 s."""
    watch = replace(WATCH, poll_interval=given)

    assert ask(policy.after_response(watch, Progress(), seen(), PLAN, now=START, jitter=0.9)).delay == used
    assert policy.first_delay(watch, PLAN, now=START, jitter=0.9) == used


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_final_statuses_end_the_wait(status: str) -> None:
    """Whatever the end is, even past the deadline, it is an end."""
    assert policy.after_response(WATCH, Progress(), seen(status), PLAN, now=START + 9999, jitter=0) == StopPolling(
        Outcome.TERMINAL, status
    )


def test_unknown_status_is_waited_on_until_the_deadline() -> None:
    """A word EvoLink has not documented is unfinished, and bounded by the deadline."""
    assert isinstance(policy.after_response(WATCH, Progress(), seen("dreaming"), PLAN, now=START, jitter=0), PollAgain)
    assert policy.after_response(WATCH, Progress(), seen("dreaming"), PLAN, now=START + 1800, jitter=0) == StopPolling(
        Outcome.DEADLINE, "dreaming"
    )


def test_the_last_question_is_asked_at_the_deadline() -> None:
    """A pause is cut so that the deadline itself is looked at."""
    step = policy.after_response(WATCH, Progress(), seen(), PLAN, now=START + 1795, jitter=MIDDLE)

    assert ask(step).delay == pytest.approx(5.0)


def test_news_only_on_change() -> None:
    """A changed status is news, and so is each further 20 % or so; anything else is silent."""
    progress, told = Progress(), []
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
        step = ask(policy.after_response(WATCH, progress, seen(status, percent), PLAN, now=START, jitter=MIDDLE))
        progress = step.progress
        told.append(step.message)

    assert told == [
        "pending",
        None,
        "processing, 5 %",
        None,
        "processing, 26 %",
        None,
        "processing, 47 %",
        "processing, 99 %",
    ]


FAILURE = errors.ConnectionLostError("lost")


def test_failures_are_endured_for_a_time_not_a_number() -> None:
    """Any number of failed questions is endured for ten minutes; one success starts the count anew."""
    progress, now = Progress(), START
    for _ in range(200):
        step = ask(policy.after_failure(WATCH, progress, FAILURE, now=now, jitter=MIDDLE))
        progress, now = step.progress, now + 2.9
    assert policy.after_failure(WATCH, progress, FAILURE, now=START + 600, jitter=MIDDLE) == StopPolling(
        Outcome.UNREACHABLE, None, "ConnectionLostError"
    )

    recovered = ask(policy.after_response(WATCH, progress, seen(), PLAN, now=START + 599, jitter=MIDDLE))
    assert recovered.progress.failing_since is None


def test_only_the_first_of_a_run_of_failures_is_news() -> None:
    """A run of failures is told once."""
    first = ask(policy.after_failure(WATCH, Progress(), FAILURE, now=START, jitter=MIDDLE))
    second = ask(policy.after_failure(WATCH, first.progress, FAILURE, now=START + 8, jitter=MIDDLE))

    assert first.message is not None
    assert "lost" in first.message
    assert second.message is None


def test_retry_after_is_obeyed() -> None:
    """The server's word is longer than ours: it is obeyed; if it is shorter, ours stands."""
    for told, delay in ((77.0, 77.0), (1.0, 8.0)):
        limited = errors.RateLimitedError("slow down", status=429, retry_after=told)
        assert ask(policy.after_failure(WATCH, Progress(), limited, now=START, jitter=MIDDLE)).delay == delay


def refused(
    failures: Sequence[tuple[float, errors.EvoLinkError]], *, watch: Watch = WATCH, progress: Progress | None = None
) -> PollAgain | StopPolling:
    """What follows the last of some failures, given with their ages."""
    known = progress or Progress()
    step: PollAgain | StopPolling | None = None
    for age, error in failures:
        step = policy.after_failure(watch, known, error, now=watch.submitted_at + age, jitter=MIDDLE)
        known = step.progress if isinstance(step, PollAgain) else known
    assert step is not None
    return step


UNKNOWN = errors.GenerationNotFoundError("no", status=404, code="task_not_found")
REFUSALS = [
    UNKNOWN,
    errors.AuthenticationError("no", status=401, code="unauthorized"),
    errors.BadRequestError("no", status=400, code="invalid_task_id"),
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error.status))
def test_one_refusal_ends_nothing(error: errors.ApiError) -> None:
    """Questions are free: a stray refusal, or many within a moment, are asked about again."""
    assert isinstance(refused([(100.0, error)]), PollAgain)
    assert isinstance(refused([(100.0 + number, error) for number in range(50)]), PollAgain)
    assert isinstance(refused([(100.0, error), (290.0, error)]), PollAgain)


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error.status))
def test_refusals_that_agree_over_minutes_end_the_waiting(error: errors.ApiError) -> None:
    """Several of the same kind, spread over three minutes, are believed, whatever outages lie between them."""
    step = refused([(100.0, error), (150.0, FAILURE), (200.0, error), (280.0, error)])

    assert isinstance(step, StopPolling)
    assert (step.outcome, step.detail) == (
        Outcome.REFUSED,
        f"{type(error).__name__} HTTP {error.status} {error.code}",
    )


def test_refusals_that_disagree_or_are_contradicted_end_nothing() -> None:
    """Another refusal, or an answer, starts the count anew."""
    denied = REFUSALS[1]
    assert isinstance(refused([(100.0, UNKNOWN), (160.0, denied), (220.0, UNKNOWN), (281.0, denied)]), PollAgain)

    before = ask(refused([(100.0, UNKNOWN), (200.0, UNKNOWN)])).progress
    answered = ask(policy.after_response(WATCH, before, seen(), PLAN, now=START + 210, jitter=MIDDLE)).progress
    assert isinstance(refused([(281.0, UNKNOWN)], progress=answered), PollAgain)


def test_a_young_generation_may_be_unknown() -> None:
    """What was accepted within the last minute may not be known yet, which counts for nothing."""
    assert ask(refused([(5.0, UNKNOWN), (30.0, UNKNOWN), (59.0, UNKNOWN)])).progress.refusals == 0


@pytest.mark.parametrize(
    "error",
    [
        errors.InsufficientCreditsError("no", status=402),
        errors.AccessDeniedError("no", status=403),
        errors.ServerError("no", status=500),
        errors.InvalidResponseError("html"),
    ],
)
def test_what_may_pass_is_endured(error: errors.EvoLinkError) -> None:
    """What may pass does not end it before the patience does, since the video is paid for."""
    assert isinstance(refused([(number * 59.0, error) for number in range(10)]), PollAgain)
    stop = refused([(number * 60.0, error) for number in range(11)])
    assert isinstance(stop, StopPolling)
    assert stop.outcome is Outcome.UNREACHABLE


def test_what_is_never_sent_ends_it_at_once() -> None:
    """An id that this package itself refuses is refused for good."""
    stop = refused([(1.0, errors.InvalidInputError("generation_id", "x", "an id"))])

    assert isinstance(stop, StopPolling)
    assert stop.outcome is Outcome.REFUSED


def test_a_connection_that_is_not_there_hands_over_at_once() -> None:
    """Where a connection is not known no patience helps: a worker, which may know it, takes over."""
    stop = refused([(1.0, errors.ConnectionNotFoundError("no such connection"))])

    assert stop == StopPolling(Outcome.NO_CONNECTION, None, "ConnectionNotFoundError")


def test_a_limit_is_no_outage() -> None:
    """However long EvoLink says 429, the generation is waited for until its deadline; and it ends a run of failures."""
    limited = errors.RateLimitedError("slow down", status=429, retry_after=30.0)
    rationed = [(30.0 * number, limited) for number in range(59)]

    assert isinstance(refused(rationed), PollAgain)
    assert ask(refused([(0.0, FAILURE), (100.0, limited)])).progress.failing_since is None
    assert refused([*rationed, (1800.0, limited)]) == StopPolling(Outcome.DEADLINE, None, "RateLimitedError HTTP 429")


def test_few_failures_far_apart_are_no_outage() -> None:
    """Where questions are rationed, minutes may lie between two: three have to fail in a row."""
    apart = [(100.0, FAILURE), (900.0, FAILURE)]
    assert isinstance(refused(apart), PollAgain)
    assert isinstance(refused([*apart, (910.0, FAILURE)]), StopPolling)


chances = st.floats(0, 1)


@example(before=1, percent=2, chance=0.5, age=600.0, took=[600.0, 900.0, 1200.0] * 3, estimate=None)
@given(
    st.one_of(st.none(), st.integers(-5, 105)),
    st.one_of(st.none(), st.integers(-5, 105)),
    chances,
    st.floats(0, 1790),
    st.lists(st.floats(0.5, 5000), max_size=30),
    st.one_of(st.none(), st.floats(1, 5000)),
)
def test_paced_questions_keep_floor_and_silence(
    before: int | None, percent: int | None, chance: float, age: float, took: list[float], estimate: float | None
) -> None:
    """Whatever is known and said, a paced wait never asks within 3 s, nor is silent too long, nor past the deadline."""
    made = plan(took, estimate)
    known = Progress(percent=before, last_response_age=age / 2)
    step = policy.after_response(WATCH, known, seen(progress=percent), made, now=START + age, jitter=chance)

    left = 1800 - age
    assert min(FLOOR, left) - 1e-6 <= ask(step).delay <= min(made.max_gap * 1.01, left) + 1e-6


@pytest.mark.parametrize(
    ("duration", "seen_at", "age", "known"),
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
def test_how_long_it_took(
    duration: float | None, seen_at: float | None, age: float, known: ObservedDuration | None
) -> None:
    """EvoLink's own figure if the questions allow it, else what they show; nothing if they came too late for that."""
    done = replace(seen("completed"), duration=duration)

    assert policy.observed_duration(WATCH, Progress(last_response_age=seen_at), done, PLAN, now=START + age) == known


def test_airflows_own_limit_lies_behind_ours() -> None:
    """The deferral's timeout leaves room for a last question and the event."""
    assert policy.deferral_seconds(WATCH, now=START) == 1800 + 30 + 60
    assert policy.deferral_seconds(replace(WATCH, poll_interval=300), now=START + 1799) == 1 + 300 + 60
    assert policy.deferral_seconds(WATCH, now=START + 5000) == 90


@given(hostile.gone_wrong(hostile.CREATED, hostile.COMPLETED, hostile.FAILED), chances, st.floats(0, 1790))
def test_whatever_is_answered_the_wait_goes_on_or_ends(answer: object, chance: float, age: float) -> None:
    """No answer that can be read makes the next question come too soon or too late, or its news unprintable."""
    try:
        made = parse_generation(answer)
    except errors.InvalidResponseError:
        return
    planned = Durations().plan(made.model, made.estimated_time)
    step = policy.after_response(WATCH, Progress(), made, planned, now=START + age, jitter=chance)

    assert isinstance(step, StopPolling) == made.is_terminal
    if isinstance(step, PollAgain):
        assert 0 <= step.delay <= planned.max_gap * 1.01 + 1e-6
        assert (step.message or "").isprintable()
    assert 0 <= policy.first_delay(WATCH, planned, now=START + age, jitter=chance) <= planned.max_gap * 1.01 + 1e-6
