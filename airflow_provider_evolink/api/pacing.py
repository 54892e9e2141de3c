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

FLOOR = 3.0
EXPLICIT_FLOOR = 1.0
CAP = 30.0
_FIRST_AT_LEAST, _FIRST_AT_MOST = 5.0, 60.0
_INTERVAL, _GROWTH = 8.0, 1.25
_NEARLY_DONE = 80
_JITTER = 0.2
_PROGRESS_STEP = 20
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
    """

    generation_id: str
    submitted_at: float
    deadline: float
    poll_interval: float | None = None
    estimated_time: float | None = None
    patience: float = 600.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What the waiting has seen so far."""

    interval: float = _INTERVAL
    failing_since: float | None = None
    status: str | None = None
    percent: int | None = None
    told_percent: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask again after ``delay`` seconds; ``news`` is a line worth logging."""

    delay: float
    progress: Progress
    news: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop waiting; ``detail`` says more about it than the outcome."""

    outcome: Outcome
    status: str | None = None
    detail: str | None = None


def first_delay(watch: Watch, *, now: float, chance: float) -> float:
    """
    Seconds until the first question.

    :param chance: a random number from 0 to 1; without it, restarted waits would all ask at once.
    """
    age = max(now - watch.submitted_at, 0.0)
    if watch.poll_interval is not None:
        wanted = max(watch.poll_interval, EXPLICIT_FLOOR)
    else:
        half = (watch.estimated_time or 0.0) / 2
        wanted = _spread(max(_FIRST_AT_LEAST, min(half, _FIRST_AT_MOST)), chance)
    overdue = wanted - age <= 0
    return _within(chance * 2.0 if overdue else wanted - age, watch, now)


def after_answer(watch: Watch, progress: Progress, seen: Generation, *, now: float, chance: float) -> Ask | Stop:
    """Decide what follows an answer about the generation."""
    if seen.is_final:
        return Stop(Outcome.FINAL, seen.status)
    if now >= watch.deadline:
        return Stop(Outcome.DEADLINE, seen.status)
    percent = seen.progress if seen.progress is not None else progress.percent
    is_near = percent is not None and percent >= _NEARLY_DONE
    was_near = progress.percent is not None and progress.percent >= _NEARLY_DONE
    interval = _INTERVAL if is_near and not was_near else progress.interval
    news = _news(progress, seen)
    known = Progress(
        interval=min(interval * (1.0 if is_near else _GROWTH), CAP),
        status=seen.status,
        percent=percent,
        told_percent=percent if news and percent is not None else progress.told_percent,
    )
    return Ask(_delay(watch, interval, now, chance), known, news)


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
    delay = _delay(watch, progress.interval, now, chance)
    known = replace(progress, failing_since=since, interval=min(progress.interval * _GROWTH, CAP))
    news = f"EvoLink can't be asked just now; the generation goes on. {error}" if since == now else None
    return Ask(_within(max(delay, told or 0.0), watch, now), known, news)


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


def _delay(watch: Watch, interval: float, now: float, chance: float) -> float:
    if watch.poll_interval is not None:
        return _within(max(watch.poll_interval, EXPLICIT_FLOOR), watch, now)
    return _within(max(_spread(interval, chance), FLOOR), watch, now)


def _within(delay: float, watch: Watch, now: float) -> float:
    """The last question is asked at the deadline, not after it."""
    return max(min(delay, watch.deadline - now), 0.0)


def _spread(seconds: float, chance: float) -> float:
    return seconds * (1.0 - _JITTER + 2.0 * _JITTER * chance)


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
