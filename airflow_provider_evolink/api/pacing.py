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
    EvoLinkError,
    GenerationNotFoundError,
    InvalidInputError,
)
from airflow_provider_evolink.api.generation import COMPLETED, Generation
from airflow_provider_evolink.api.schedule import CAP, FLOOR, Plan, Took

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
# A generation may be unknown for a moment after it was accepted.
NOT_FOUND_GRACE = 60.0


class Outcome(StrEnum):
    """Why the waiting ended."""

    FINAL = "final"
    DEADLINE = "deadline"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"


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
    patience: float = 600.0
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What the waiting has seen so far; ``seen_at`` is the age at the last answer."""

    back_off: float = _BACK_OFF
    failing_since: float | None = None
    status: str | None = None
    percent: int | None = None
    told_percent: int = 0
    seen_at: float | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """
    Ask again after ``delay`` seconds.

    ``news`` is a line worth logging, and ``is_urgent`` whether it must be, however many others there are.
    """

    delay: float
    progress: Progress
    news: str | None = None
    is_urgent: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop waiting; ``detail`` says more about it than the outcome."""

    outcome: Outcome
    status: str | None = None
    detail: str | None = None


def first_delay(watch: Watch, plan: Plan, *, now: float, chance: float) -> float:
    """
    Seconds until the first question.

    :param plan: of the generation's model.
    :param chance: a random number from 0 to 1; without it, restarted waits would all ask at once.
    """
    age = max(now - watch.submitted_at, 0.0)
    wanted = _explicit(watch) or _spread(plan.next_age(0.0), chance, _JITTER)
    return _within(wanted - age if wanted > age else chance * RESTART_SECONDS, watch, now)


def after_answer(
    watch: Watch, progress: Progress, seen: Generation, plan: Plan, *, now: float, chance: float
) -> Ask | Stop:
    """Decide what follows an answer about the generation."""
    if seen.is_final:
        return Stop(Outcome.FINAL, seen.status)
    if now >= watch.deadline:
        return Stop(Outcome.DEADLINE, seen.status)
    age = max(now - watch.submitted_at, 0.0)
    changed = seen.status != progress.status
    news = _news(progress, seen)
    percent = seen.progress if seen.progress is not None else progress.percent
    known = Progress(
        status=seen.status,
        percent=percent,
        told_percent=percent if news and percent is not None else progress.told_percent,
        seen_at=age,
    )
    planned = plan.next_age(age) - age
    delay = _explicit(watch) or _spread(_foreseen(planned, plan.silence, progress, known), chance, _JITTER)
    return Ask(_within(delay, watch, now), known, news, changed)


def after_failure(watch: Watch, progress: Progress, error: EvoLinkError, *, now: float, chance: float) -> Ask | Stop:
    """Decide what follows a question that failed: only for so long is it asked again."""
    if _is_hopeless(watch, error, now):
        return Stop(Outcome.REFUSED, progress.status, _brief(error))
    if now >= watch.deadline:
        return Stop(Outcome.DEADLINE, progress.status, _brief(error))
    since = now if progress.failing_since is None else progress.failing_since
    if now - since >= watch.patience:
        return Stop(Outcome.UNREACHABLE, progress.status, _brief(error))
    told = error.retry_after if isinstance(error, ApiError) else None
    delay = _explicit(watch) or _spread(progress.back_off, chance, _FAILURE_JITTER)
    known = replace(progress, failing_since=since, back_off=min(progress.back_off * _GROWTH, CAP))
    is_first = progress.failing_since is None
    news = f"EvoLink can't be asked just now; the generation goes on. {error}" if is_first else None
    return Ask(_within(max(delay, told or 0.0), watch, now), known, news)


def took(watch: Watch, progress: Progress, seen: Generation, plan: Plan, *, now: float) -> Took | None:
    """
    How long a generation took, as far as the questions show: it ended between the last two.

    :return: ``None`` if they show too little, as when it was first asked about long after it should have been.
    """
    age = max(now - watch.submitted_at, 0.0)
    if seen.duration is not None and 0 < seen.duration <= age:
        return Took(seen.duration)
    if progress.seen_at is None:
        return Took(age, at_most=True) if age <= _LATE * plan.next_age(0.0) else None
    return Took((age + progress.seen_at) / 2) if age <= 2 * progress.seen_at else None


def deferral_seconds(watch: Watch, *, now: float) -> float:
    """How long Airflow should wait before it gives up on the trigger, which should always be first."""
    return max(watch.deadline - now, 0.0) + max(watch.poll_interval or 0.0, CAP) + 60.0


def _brief(error: EvoLinkError) -> str:
    """The kind of a failure, without the text that came with it: it is kept in Airflow's database."""
    named = [type(error).__name__]
    if isinstance(error, ApiError):
        named += [f"HTTP {error.status}", (error.code or "")[:40]]
    return " ".join(part for part in named if part)


def _is_hopeless(watch: Watch, error: EvoLinkError, now: float) -> bool:
    """402 and 403 are not: the generation is paid for, and credits or a firewall may come to their senses."""
    if isinstance(error, GenerationNotFoundError):
        return now - watch.submitted_at >= NOT_FOUND_GRACE
    return isinstance(error, AuthenticationError | BadRequestError | InvalidInputError)


def _explicit(watch: Watch) -> float | None:
    return None if watch.poll_interval is None else max(watch.poll_interval, EXPLICIT_FLOOR)


def _foreseen(planned: float, silence: float, before: Progress, now: Progress) -> float:
    """
    Ask when the progress says that it will be done, if that is near the planned moment.

    Progress may lie or stand still, so it brings a question forward by half at the most, and puts it off by half, and
    not beyond the longest silence.
    """
    if before.percent is None or now.percent is None or before.seen_at is None or now.seen_at is None:
        return planned
    gained, passed = now.percent - before.percent, now.seen_at - before.seen_at
    if gained <= 0 or now.percent >= _ALL:
        return planned
    left = passed * (_ALL - now.percent) / gained * (1.0 + _JITTER)
    return max(min(left, planned * 1.5, silence), planned / 2, FLOOR)


def _within(delay: float, watch: Watch, now: float) -> float:
    """The last question is asked at the deadline, not after it."""
    return max(min(delay, watch.deadline - now), 0.0)


def _spread(seconds: float, chance: float, jitter: float) -> float:
    return max(seconds * (1.0 - jitter + 2.0 * jitter * chance), FLOOR)


def _news(progress: Progress, seen: Generation) -> str | None:
    changed = seen.status != progress.status
    percent = seen.progress or 0
    if not changed and percent - progress.told_percent < _PROGRESS_STEP:
        return None
    return f"{seen.status}, {percent} %" if percent else seen.status


def describe(stop: Stop) -> str:
    """One line about why the waiting ended."""
    match stop.outcome:
        case Outcome.FINAL:
            return "is completed" if stop.status == COMPLETED else f"has ended as {stop.status}"
        case Outcome.DEADLINE:
            return f"was not finished at the deadline (last seen {stop.status or 'never'})"
        case Outcome.UNREACHABLE:
            return "could not be asked about for too long"
        case Outcome.REFUSED:
            return "may not be asked about"
        case _:
            assert_never(stop.outcome)
