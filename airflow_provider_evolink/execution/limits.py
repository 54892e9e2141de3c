# SPDX-License-Identifier: Apache-2.0
"""Read and validate how long to wait, how often to poll, and how many credits to keep.

Tasks set it, or else Airflow's configuration.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.compat import conf
from airflow_provider_evolink.polling.policy import EXPLICIT_FLOOR, Outcome, StopPolling, Watch

_LONGEST = timedelta(days=30).total_seconds()
# How long a worker keeps reading before it hands a deferrable task back to the triggerer, which frees its slot.
_WORKER_SECONDS = 60.0
_LARGEST = 1e15


def default_timeout() -> float:
    """Return the seconds to wait for a generation if the task sets no timeout: 1800 by default.

    :raises InvalidInputError: ``[evolink] default_timeout`` is not a duration.
    """
    return _option("default_timeout") or 1800.0


def wait_seconds(timeout: object, execution_timeout: timedelta | None) -> float:
    """Return the seconds from a submission for which a task waits for its generation.

    :param timeout: the task's own; ``None`` = :func:`default_timeout`.
    :param execution_timeout: Airflow's, which it ignores while a task is deferred.
    :raises InvalidInputError: it is not a duration.
    """
    seconds = parse_seconds("timeout", timeout) or default_timeout()
    return min(seconds, execution_timeout.total_seconds()) if execution_timeout else seconds


def unreachable_timeout() -> float:
    """Return the seconds for which EvoLink may be unreachable: 600 by default.

    :raises InvalidInputError: ``[evolink] unreachable_timeout`` is not a duration.
    """
    return _option("unreachable_timeout") or 600.0


def poll_interval(given: object) -> float | None:
    """Return the seconds between two polls, or ``None`` to poll adaptively.

    :param given: the task's own interval; if it is ``None``, ``[evolink] poll_interval`` applies.
    :raises InvalidInputError: it is not a duration, or too short.
    """
    if given is not None:
        return _checked("poll_interval", given, parse_seconds("poll_interval", given))
    configured = _option("poll_interval")
    return _checked("[evolink] poll_interval", configured, configured)


def parse_seconds(name: str, value: object, *, form: str = "a number or a timedelta") -> float | None:
    """Parse a duration into seconds; ``None`` stays ``None``.

    :param name: of the parameter or option, for the error.
    :param value: a number of seconds, or a ``timedelta``.
    :param form: in which the value can be given, for the error.
    :raises InvalidInputError: it is neither, not positive, or longer than 30 days.
    """
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST:
        raise InvalidInputError(name, value, f"more than 0 seconds and at most 30 days, as {form}")
    return float(seconds)


def min_credits_left(given: object) -> float | None:
    """Return how many credits must be left before a submission, or ``None`` if any number may.

    :param given: the task's own number; if it is ``None``, ``[evolink] min_credits_left`` applies.
    :raises InvalidInputError: it is no number of credits.
    """
    number = parse_credits("min_credits_left", given)
    if number is not None:
        return number
    return parse_credits("[evolink] min_credits_left", _configured("min_credits_left"))


def parse_credits(name: str, value: object) -> float | None:
    """Parse a number of credits, also one that a template has rendered as text; ``None`` stays ``None``.

    :param name: of the parameter or option, for the error.
    :raises InvalidInputError: it is no number above 0.
    """
    if value is None:
        return None
    number = parse_number(value)
    if number is None or number <= 0:
        # Without a limit, a template that found no value would let everything pass.
        found = ", but a template found no value" if value == "None" else ""
        raise InvalidInputError(name, value, f"a number of credits above 0, or not set{found}")
    return number


def parse_number(value: object) -> float | None:
    """Return a finite number, or one that a template has rendered as text; ``None`` if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < _LARGEST else None


def read_timeout(watch: Watch, stop: StopPolling, failing_since: float | None, *, may_defer: bool, now: float) -> float:
    """Return the seconds for which a worker's reads may fail with transient errors once a wait has ended.

    :param stop: why the wait ended.
    :param failing_since: since when earlier workers' reads have failed, in seconds since the epoch, if they have.
    :param may_defer: whether the task can go back to the triggerer.
    :param now: seconds since the epoch.
    """
    if stop.outcome is Outcome.UNREACHABLE:
        return 0.0
    failed_for = 0.0 if failing_since is None else now - failing_since
    remaining = max(watch.unreachable_timeout - failed_for, 0.0)
    return min(_WORKER_SECONDS, remaining) if may_defer else remaining


def _configured(name: str) -> str | None:
    text = conf.get("evolink", name, fallback=None)
    return None if text is None or not str(text).strip() else str(text)


def _option(name: str) -> float | None:
    text = _configured(name)
    if text is None:
        return None
    try:
        value: object = float(text)
    except ValueError:
        value = text
    return parse_seconds(f"[evolink] {name}", value, form="a number")


def _checked(name: str, value: object, seconds: float | None) -> float | None:
    if seconds is not None and seconds < EXPLICIT_FLOOR:
        raise InvalidInputError(name, value, f"at least {EXPLICIT_FLOOR:g} s, or not set")
    return seconds
