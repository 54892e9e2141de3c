# SPDX-License-Identifier: Apache-2.0
"""How long is waited and how often is asked: what tasks and Airflow's configuration say, checked."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.compat import conf
from airflow_provider_evolink.polling.policy import EXPLICIT_FLOOR

_LONGEST = timedelta(days=30).total_seconds()


def default_timeout() -> float:
    """
    Seconds for which is waited where the task does not say.

    :raises InvalidInputError: ``[evolink] default_timeout`` is no duration.
    """
    return _option("default_timeout") or 1800.0


def unreachable_timeout() -> float:
    """
    Seconds for which EvoLink may be out of reach.

    :raises InvalidInputError: ``[evolink] unreachable_timeout`` is no duration.
    """
    return _option("unreachable_timeout") or 600.0


def poll_interval(given: object) -> float | None:
    """
    Seconds between two questions, or ``None`` where pacing decides.

    :param given: the task's own; ``[evolink] poll_interval`` where it is ``None``.
    :raises InvalidInputError: it is no duration, or too short.
    """
    if given is not None:
        return _long_enough("poll_interval", given, seconds_of("poll_interval", given))
    configured = _option("poll_interval")
    return _long_enough("[evolink] poll_interval", configured, configured)


def seconds_of(name: str, value: object) -> float | None:
    """
    Read a duration.

    :raises InvalidInputError: it is neither a positive number of seconds nor a ``timedelta``.
    """
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST:
        raise InvalidInputError(name, value, "more than 0 seconds and at most 30 days, as a number or a timedelta")
    return float(seconds)


def _option(name: str) -> float | None:
    text = conf.get("evolink", name, fallback=None)
    if text is None or not str(text).strip():
        return None
    try:
        value: object = float(text)
    except ValueError:
        value = text
    return seconds_of(f"[evolink] {name}", value)


def _long_enough(name: str, value: object, seconds: float | None) -> float | None:
    if seconds is not None and seconds < EXPLICIT_FLOOR:
        raise InvalidInputError(name, value, f"at least {EXPLICIT_FLOOR:g}, or None")
    return seconds
