# SPDX-License-Identifier: Apache-2.0
"""Decide when to poll a generation again, when to stop, and what a failed poll means.

Pure decisions: everything, the time included, comes in as an argument; the poll loop carries them out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

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

# Minimum of an explicit poll interval, in seconds.
EXPLICIT_FLOOR = 1.0
# Back-off after a failed poll: at first, in seconds, and the factor by which it grows, up to CAP.
_FIRST_BACK_OFF, _BACK_OFF_FACTOR = 8.0, 1.25
# Jitter as a share of a delay, either way: too little to spoil a plan, and enough to spread generations that were
# submitted together.
_JITTER, _FAILURE_JITTER = 0.01, 0.2
# Waits that are overdue when a new triggerer resumes them are spread over this many seconds.
RESTART_SPREAD_SECONDS = 3.0
# A first poll later than this multiple of its planned age shows too little about the duration.
_LATE_FACTOR = 1.2
# Percentage points of progress that are worth a message, and full progress.
_PROGRESS_STEP, _FULL_PROGRESS = 20, 100
# Polls are free, so a refusal is trusted only if several agree over this many seconds: a stray response of a proxy, or
# an API key that is being replaced, would otherwise end the wait for a generation that is paid for.
REFUSED_SECONDS = 180.0
_CONFIRMING_REFUSALS = 3
# After this many seconds of failures, the account that the connection now leads to is polled, if it is another.
MOVED_AFTER_SECONDS = 60.0
# Under a rate limit minutes may lie between two polls of a generation: fewer failures in a row are no outage.
_MIN_OUTAGE_FAILURES = 3


class Outcome(StrEnum):
    """Why a wait ended."""

    TERMINAL = "terminal"
    DEADLINE = "deadline"
    UNREACHABLE = "unreachable"
    UNREAD = "unread"
    REFUSED = "refused"
    NO_CONNECTION = "no_connection"


@dataclass(frozen=True, slots=True)
class Watch:
    """Everything that a restarted triggerer needs to wait for a generation; nothing secret.

    :param generation_id: the generation.
    :param submitted_at: seconds since the epoch.
    :param deadline: seconds since the epoch at which the wait ends.
    :param poll_interval: seconds between two polls, at least 1; ``None`` = as planned from earlier durations.
    :param estimated_time: EvoLink's estimate in seconds, if it gave one.
    :param unreachable_timeout: seconds for which every poll may fail before the wait ends.
    :param model: the model, whose earlier durations the plan is learned from.
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
    """What the polls of one wait have shown so far.

    :param back_off: seconds until the next poll if this one fails.
    :param failing_since: seconds since the epoch of the first of the current run of failures, which are ``failures``;
        ``failure`` is the kind of the last one.
    :param refusal: what the latest refusals have in common; ``refusals`` of them agree, since ``refused_since``.
    :param was_advanced: whether the generation's progress has brought the current poll forward.
    :param percent: the latest progress; ``reported_percent`` is the one that was last reported.
    :param last_response_age: age of the generation, in seconds, at the latest response.
    """

    back_off: float = _FIRST_BACK_OFF
    failing_since: float | None = None
    failures: int = 0
    failure: str | None = None
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
    """Poll again after ``delay`` seconds; a ``message`` is a line for the log, never dropped if it ``is_urgent``."""

    delay: float
    progress: Progress
    message: str | None = None
    is_urgent: bool = False


@dataclass(frozen=True, slots=True)
class StopPolling:
    """End the wait; ``detail`` says more about the outcome, such as the kind of the last failure."""

    outcome: Outcome
    status: str | None = None
    detail: str | None = None


def first_delay(watch: Watch, plan: Plan, *, now: float, jitter: float) -> float:
    """Return the seconds until the first poll.

    :param plan: for the generation's model.
    :param now: seconds since the epoch.
    :param jitter: random, from 0 to 1; without it, resumed waits would all poll at once.
    """
    age = max(now - watch.submitted_at, 0.0)
    planned = _explicit_interval(watch) or _jittered(plan.next_age(0.0), jitter, _JITTER)
    return _until_deadline(planned - age if planned > age else jitter * RESTART_SPREAD_SECONDS, watch, now)


def after_response(
    watch: Watch, progress: Progress, generation: Generation, plan: Plan, *, now: float, jitter: float
) -> PollAgain | StopPolling:
    """Decide what follows a response about the generation."""
    if generation.is_terminal:
        return StopPolling(Outcome.TERMINAL, generation.status)
    if now >= watch.deadline:
        return StopPolling(Outcome.DEADLINE, generation.status)
    age = max(now - watch.submitted_at, 0.0)
    is_new_status = generation.status != progress.status
    message = _status_message(progress, generation)
    percent = generation.progress if generation.progress is not None else progress.percent
    updated = Progress(
        status=generation.status,
        percent=percent,
        reported_percent=percent if message and percent is not None else progress.reported_percent,
        last_response_age=age,
    )
    planned = plan.next_age(age) - age
    adjusted = _adjusted_by_progress(planned, plan.max_gap, progress, updated)
    delay = _until_deadline(_explicit_interval(watch) or _jittered(adjusted, jitter, _JITTER), watch, now)
    return PollAgain(delay, replace(updated, was_advanced=adjusted < planned), message, is_new_status)


def after_failure(
    watch: Watch, progress: Progress, error: EvoLinkError, *, now: float, jitter: float
) -> PollAgain | StopPolling:
    """Decide what follows a poll that failed; failures are retried for a limited time only.

    A 429 does not count as a failure, however many there are: EvoLink is up, and limits the rate.
    """
    if isinstance(error, ConnectionNotFoundError):
        return StopPolling(Outcome.NO_CONNECTION, progress.status, _error_kind(error))
    updated = _count_refusal(watch, progress, error, now)
    if isinstance(error, InvalidInputError) or _is_refusal_confirmed(updated, now):
        return StopPolling(Outcome.REFUSED, progress.status, _error_kind(error))
    if now >= watch.deadline:
        return StopPolling(Outcome.DEADLINE, progress.status, _error_kind(error))
    if isinstance(error, RateLimitedError):
        delay = _failure_delay(watch, _FIRST_BACK_OFF, error, now, jitter)
        return PollAgain(delay, replace(updated, failing_since=None, failures=0, failure=None))
    is_first, failures = progress.failing_since is None, progress.failures + 1
    failing_since = now if progress.failing_since is None else progress.failing_since
    if now - failing_since >= watch.unreachable_timeout and failures >= _MIN_OUTAGE_FAILURES:
        return StopPolling(Outcome.UNREACHABLE, progress.status, _error_kind(error))
    delay = _failure_delay(watch, progress.back_off, error, now, jitter)
    back_off = min(progress.back_off * _BACK_OFF_FACTOR, CAP)
    updated = replace(
        updated, failing_since=failing_since, failures=failures, failure=_error_kind(error), back_off=back_off
    )
    message = f"poll failed, retrying: {str(error).removesuffix('.')}" if is_first else None
    return PollAgain(delay, updated, message)


def may_have_moved(error: EvoLinkError) -> bool:
    """Return whether a failure may come from polling an account that the connection no longer leads to."""
    return not isinstance(error, RateLimitedError | ServerError | InvalidInputError | ConfigurationError)


def observed_duration(
    watch: Watch, progress: Progress, generation: Generation, plan: Plan, *, now: float
) -> ObservedDuration | None:
    """Return how long a generation took: EvoLink's figure if the polls confirm it, else midway between the last two.

    :return: ``None`` if the polls show too little, as when the first one came long after its planned age.
    """
    age = max(now - watch.submitted_at, 0.0)
    if generation.duration is not None and max(progress.last_response_age or 0.0, 0.0) < generation.duration <= age:
        return ObservedDuration(generation.duration)
    if progress.last_response_age is None:
        return ObservedDuration(age, at_most=True) if age <= _LATE_FACTOR * plan.next_age(0.0) else None
    return ObservedDuration((age + progress.last_response_age) / 2) if age <= 2 * progress.last_response_age else None


def deferral_seconds(watch: Watch, *, now: float) -> float:
    """Return Airflow's own timeout for the deferral, which must not end before the trigger does."""
    return max(watch.deadline - now, 0.0) + max(watch.poll_interval or 0.0, CAP) + 60.0


def describe(stop: StopPolling) -> str:
    """Return why a wait ended, as a predicate: "generation x" precedes it."""
    predicates = {
        Outcome.TERMINAL: "is completed" if stop.status == COMPLETED else f"ended as {stop.status}",
        Outcome.DEADLINE: f"was not finished at the deadline (last status: {stop.status or 'unknown'})",
        Outcome.UNREACHABLE: "could not be read for longer than [evolink] unreachable_timeout allows",
        Outcome.UNREAD: "could not be read before the deadline (`timeout`, or a shorter `execution_timeout`)",
        Outcome.REFUSED: "can't be polled (EvoLink refuses the requests)",
        Outcome.NO_CONNECTION: "can't be polled (its connection was not found)",
    }
    return predicates[stop.outcome]


def _error_kind(error: EvoLinkError) -> str:
    """Return the kind of a failure without its message, which does not belong in Airflow's database."""
    parts = [type(error).__name__]
    if isinstance(error, ApiError):
        parts += [f"HTTP {error.status}", (error.code or "")[:40]]
    return " ".join(part for part in parts if part)


def _count_refusal(watch: Watch, progress: Progress, error: EvoLinkError, now: float) -> Progress:
    """Count refusals that agree; an error that concerns no generation, such as a 5xx, does not interrupt them."""
    if not _is_refusal(watch, error, now):
        return progress
    refusal = _error_kind(error)
    if refusal != progress.refusal:
        return replace(progress, refusal=refusal, refusals=1, refused_since=now)
    return replace(progress, refusals=progress.refusals + 1)


def _is_refusal_confirmed(progress: Progress, now: float) -> bool:
    return progress.refusals >= _CONFIRMING_REFUSALS and now - progress.refused_since >= REFUSED_SECONDS


def _is_refusal(watch: Watch, error: EvoLinkError, now: float) -> bool:
    """Return whether a failure counts as a refusal.

    402 and 403 don't: the generation is paid for, and missing credits or a firewall may be temporary.
    """
    if isinstance(error, GenerationNotFoundError):
        return now - watch.submitted_at >= NOT_FOUND_GRACE
    return isinstance(error, AuthenticationError | BadRequestError)


def _failure_delay(watch: Watch, back_off: float, error: EvoLinkError, now: float, jitter: float) -> float:
    delay = _explicit_interval(watch) or _jittered(back_off, jitter, _FAILURE_JITTER)
    return _until_deadline(max(delay, error.retry_after or 0.0), watch, now)


def _explicit_interval(watch: Watch) -> float | None:
    return None if watch.poll_interval is None else max(watch.poll_interval, EXPLICIT_FLOOR)


def _adjusted_by_progress(planned: float, max_gap: float, before: Progress, now: Progress) -> float:
    """Return the delay after which the progress promises completion, if that is near the planned delay.

    Progress may be wrong or stall, so it brings a poll forward by half at most, and never two in a row; it postpones a
    poll by half at most, and never beyond the longest gap.
    """
    if (
        before.percent is None
        or now.percent is None
        or before.last_response_age is None
        or now.last_response_age is None
    ):
        return planned
    gained, elapsed = now.percent - before.percent, now.last_response_age - before.last_response_age
    if gained <= 0 or now.percent >= _FULL_PROGRESS:
        return planned
    remaining = elapsed * (_FULL_PROGRESS - now.percent) / gained * (1.0 + _JITTER)
    earliest = planned if before.was_advanced else planned / 2
    return max(min(remaining, planned * 1.5, max_gap), earliest, FLOOR)


def _until_deadline(delay: float, watch: Watch, now: float) -> float:
    """Shorten a delay so that the last poll happens at the deadline, not after it."""
    return max(min(delay, watch.deadline - now), 0.0)


def _jittered(seconds: float, jitter: float, width: float) -> float:
    return max(seconds * (1.0 - width + 2.0 * width * jitter), FLOOR)


def _status_message(progress: Progress, generation: Generation) -> str | None:
    percent = generation.progress or 0
    if generation.status == progress.status and percent - progress.reported_percent < _PROGRESS_STEP:
        return None
    return f"{generation.status}, {percent}%" if percent else generation.status
