# SPDX-License-Identifier: Apache-2.0
"""
When to ask again, when to stop, and what a failed question means.

Pure: everything, the time included, comes in as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from airflow_provider_evolink.api.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConnectionNotFoundError,
    EvoLinkError,
    GenerationNotFoundError,
    InvalidInputError,
    RateLimitedError,
    ServerError,
)
from airflow_provider_evolink.api.generation import COMPLETED, NOT_FOUND_GRACE, Generation
from airflow_provider_evolink.polling.poll_plan import CAP, FLOOR, ObservedDuration, Plan

EXPLICIT_FLOOR = 1.0
_BACK_OFF, _GROWTH = 8.0, 1.25
# A plan loses little by this much, and generations that were submitted together are not asked about together.
_JITTER = 0.01
_FAILURE_JITTER = 0.2
# Waits that a new triggerer takes up would all be overdue at once.
RESTART_SECONDS = 3.0
_LATE = 1.2
_PROGRESS_STEP = 20
_ALL = 100
# Questions are free, so a refusal is believed only when several agree over a while: a stray answer of a proxy, or a key
# that is being replaced, would else end the waiting for what is paid for.
REFUSED_SECONDS = 180.0
_CONFIRMING_REFUSALS = 3
# For so long nothing may be answered before another account of the connection, if there is one, is asked instead.
MOVED_SECONDS = 60.0
# Where questions are rationed, minutes may lie between two of a generation's: few that failed are no outage.
_OUTAGE = 3


class Outcome(StrEnum):
    """Why the waiting ended."""

    TERMINAL = "terminal"
    DEADLINE = "deadline"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    NO_CONNECTION = "no_connection"


@dataclass(frozen=True, slots=True)
class Watch:
    """
    What is waited for; everything a restarted triggerer needs, and nothing secret.

    :param generation_id: the generation.
    :param submitted_at: seconds since the epoch.
    :param deadline: seconds since the epoch at which the waiting ends.
    :param poll_interval: seconds between two questions, at least 1; ``None`` = paced.
    :param estimated_time: EvoLink's estimate in seconds, if it gave one.
    :param patience: seconds for which every question may fail.
    :param model: its model, whose earlier generations tell when to ask.
    """

    generation_id: str
    submitted_at: float
    deadline: float
    poll_interval: float | None = None
    estimated_time: float | None = None
    unreachable_timeout: float = 600.0
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """
    What the waiting has seen so far.

    ``seen_at`` is the age at the last answer; ``was_advanced`` whether a progress has brought the present question
    forward; ``refusal`` what the last refusals agree on, ``refusals`` and ``refused_since`` how many they are and since
    when.
    """

    back_off: float = _BACK_OFF
    failing_since: float | None = None
    failures: int = 0
    refusal: str | None = None
    refusals: int = 0
    refused_since: float = 0.0
    was_advanced: bool = False
    status: str | None = None
    percent: int | None = None
    reported_percent: int = 0
    last_response_age: float | None = None


@dataclass(frozen=True, slots=True)
class PollAgain:
    """
    Ask again after ``delay`` seconds.

    ``news`` is a line worth logging, and ``is_urgent`` whether it must be, however many others there are.
    """

    delay: float
    progress: Progress
    message: str | None = None
    is_urgent: bool = False


@dataclass(frozen=True, slots=True)
class StopPolling:
    """Stop waiting; ``detail`` says more about it than the outcome."""

    outcome: Outcome
    status: str | None = None
    detail: str | None = None


def first_delay(watch: Watch, plan: Plan, *, now: float, jitter: float) -> float:
    """
    Seconds until the first question.

    :param plan: of the generation's model.
    :param chance: a random number from 0 to 1; without it, restarted waits would all ask at once.
    """
    age = max(now - watch.submitted_at, 0.0)
    wanted = _explicit(watch) or _spread(plan.next_age(0.0), jitter, _JITTER)
    return _within(wanted - age if wanted > age else jitter * RESTART_SECONDS, watch, now)


def after_response(
    watch: Watch, progress: Progress, generation: Generation, plan: Plan, *, now: float, jitter: float
) -> PollAgain | StopPolling:
    """Decide what follows an answer about the generation."""
    if generation.is_terminal:
        return StopPolling(Outcome.TERMINAL, generation.status)
    if now >= watch.deadline:
        return StopPolling(Outcome.DEADLINE, generation.status)
    age = max(now - watch.submitted_at, 0.0)
    changed = generation.status != progress.status
    message = _status_message(progress, generation)
    percent = generation.progress if generation.progress is not None else progress.percent
    known = Progress(
        status=generation.status,
        percent=percent,
        reported_percent=percent if message and percent is not None else progress.reported_percent,
        last_response_age=age,
    )
    planned = plan.next_age(age) - age
    wanted = _adjusted_by_progress(planned, plan.max_gap, progress, known)
    delay = _explicit(watch) or _spread(wanted, jitter, _JITTER)
    return PollAgain(_within(delay, watch, now), replace(known, was_advanced=wanted < planned), message, changed)


def after_failure(
    watch: Watch, progress: Progress, error: EvoLinkError, *, now: float, jitter: float
) -> PollAgain | StopPolling:
    """
    Decide what follows a question that failed: only for so long is it asked again.

    A 429 counts for nothing, however many there are: EvoLink is there, and rations questions.
    """
    if isinstance(error, ConnectionNotFoundError):
        return StopPolling(Outcome.NO_CONNECTION, progress.status, _brief(error))
    known = _after_refusal(watch, progress, error, now)
    if isinstance(error, InvalidInputError) or _is_confirmed(known, now):
        return StopPolling(Outcome.REFUSED, progress.status, _brief(error))
    if now >= watch.deadline:
        return StopPolling(Outcome.DEADLINE, progress.status, _brief(error))
    if isinstance(error, RateLimitedError):
        return PollAgain(_pause(watch, _BACK_OFF, error, now, jitter), replace(known, failing_since=None, failures=0))
    since = now if progress.failing_since is None else progress.failing_since
    if now - since >= watch.unreachable_timeout and progress.failures + 1 >= _OUTAGE:
        return StopPolling(Outcome.UNREACHABLE, progress.status, _brief(error))
    delay = _pause(watch, progress.back_off, error, now, jitter)
    longer = min(progress.back_off * _GROWTH, CAP)
    known = replace(known, failing_since=since, failures=progress.failures + 1, back_off=longer)
    is_first = progress.failing_since is None
    message = f"EvoLink can't be asked just now; the generation goes on. {error}" if is_first else None
    return PollAgain(delay, known, message)


def may_have_moved(error: EvoLinkError) -> bool:
    """Whether a failure may come from asking at an account that the connection does not name any more."""
    return not isinstance(error, RateLimitedError | ServerError | InvalidInputError | ConfigurationError)


def observed_duration(
    watch: Watch, progress: Progress, generation: Generation, plan: Plan, *, now: float
) -> ObservedDuration | None:
    """
    How long a generation took: what EvoLink says, if the questions allow it, else that it ended between the last two.

    :return: ``None`` if they show too little, as when it was first asked about long after it should have been.
    """
    age = max(now - watch.submitted_at, 0.0)
    if generation.duration is not None and max(progress.last_response_age or 0.0, 0.0) < generation.duration <= age:
        return ObservedDuration(generation.duration)
    if progress.last_response_age is None:
        return ObservedDuration(age, at_most=True) if age <= _LATE * plan.next_age(0.0) else None
    return ObservedDuration((age + progress.last_response_age) / 2) if age <= 2 * progress.last_response_age else None


def deferral_seconds(watch: Watch, *, now: float) -> float:
    """How long Airflow should wait before it gives up on the trigger, which should always be first."""
    return max(watch.deadline - now, 0.0) + max(watch.poll_interval or 0.0, CAP) + 60.0


def _brief(error: EvoLinkError) -> str:
    """The kind of a failure, without the text that came with it: it is kept in Airflow's database."""
    named = [type(error).__name__]
    if isinstance(error, ApiError):
        named += [f"HTTP {error.status}", (error.code or "")[:40]]
    return " ".join(part for part in named if part)


def _after_refusal(watch: Watch, progress: Progress, error: EvoLinkError, now: float) -> Progress:
    """Count refusals that agree; what says nothing about the generation, as a 5xx, does not interrupt them."""
    if not _is_refusal(watch, error, now):
        return progress
    refusal = _brief(error)
    if refusal != progress.refusal:
        return replace(progress, refusal=refusal, refusals=1, refused_since=now)
    return replace(progress, refusals=progress.refusals + 1)


def _is_confirmed(progress: Progress, now: float) -> bool:
    return progress.refusals >= _CONFIRMING_REFUSALS and now - progress.refused_since >= REFUSED_SECONDS


def _is_refusal(watch: Watch, error: EvoLinkError, now: float) -> bool:
    """402 and 403 are none: the generation is paid for, and credits or a firewall may come to their senses."""
    if isinstance(error, GenerationNotFoundError):
        return now - watch.submitted_at >= NOT_FOUND_GRACE
    return isinstance(error, AuthenticationError | BadRequestError)


def _pause(watch: Watch, back_off: float, error: EvoLinkError, now: float, jitter: float) -> float:
    retry_after = error.retry_after if isinstance(error, ApiError) else None
    delay = _explicit(watch) or _spread(back_off, jitter, _FAILURE_JITTER)
    return _within(max(delay, retry_after or 0.0), watch, now)


def _explicit(watch: Watch) -> float | None:
    return None if watch.poll_interval is None else max(watch.poll_interval, EXPLICIT_FLOOR)


def _adjusted_by_progress(planned: float, max_gap: float, before: Progress, now: Progress) -> float:
    """
    Ask when the progress says that it will be done, if that is near the planned moment.

    Progress may lie or stand still, so it brings a question forward by half at the most, and no two in a row; it puts
    one off by half, and not beyond the longest silence.
    """
    if (
        before.percent is None
        or now.percent is None
        or before.last_response_age is None
        or now.last_response_age is None
    ):
        return planned
    gained, passed = now.percent - before.percent, now.last_response_age - before.last_response_age
    if gained <= 0 or now.percent >= _ALL:
        return planned
    left = passed * (_ALL - now.percent) / gained * (1.0 + _JITTER)
    soonest = planned if before.was_advanced else planned / 2
    return max(min(left, planned * 1.5, max_gap), soonest, FLOOR)


def _within(delay: float, watch: Watch, now: float) -> float:
    """The last question is asked at the deadline, not after it."""
    return max(min(delay, watch.deadline - now), 0.0)


def _spread(seconds: float, jitter: float, width: float) -> float:
    return max(seconds * (1.0 - width + 2.0 * width * jitter), FLOOR)


def _status_message(progress: Progress, generation: Generation) -> str | None:
    changed = generation.status != progress.status
    percent = generation.progress or 0
    if not changed and percent - progress.reported_percent < _PROGRESS_STEP:
        return None
    return f"{generation.status}, {percent} %" if percent else generation.status


def describe(stop: StopPolling) -> str:
    """One line about why the waiting ended."""
    match stop.outcome:
        case Outcome.TERMINAL:
            return "is completed" if stop.status == COMPLETED else f"has ended as {stop.status}"
        case Outcome.DEADLINE:
            return f"was not finished at the deadline (last seen {stop.status or 'never'})"
        case Outcome.UNREACHABLE:
            return "could not be asked about for too long"
        case Outcome.REFUSED:
            return "may not be asked about"
        case Outcome.NO_CONNECTION:
            return "could not be asked about where its connection is not known"
        case _:
            assert_never(stop.outcome)
