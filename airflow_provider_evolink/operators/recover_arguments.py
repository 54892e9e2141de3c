# SPDX-License-Identifier: Apache-2.0
"""Check the arguments of a recovery: at parse time what is written out, and everything before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.api.errors import InvalidInputError, LandingInputError
from airflow_provider_evolink.api.task_list import check_limit
from airflow_provider_evolink.batch.names import check_asset_pattern, has_generation_id
from airflow_provider_evolink.execution import limits
from airflow_provider_evolink.execution.literals import check_literals as check_arguments
from airflow_provider_evolink.execution.literals import is_literal
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN


@dataclass(frozen=True, slots=True)
class RecoveryArguments:
    """The arguments of ``EvoLinkRecoverOperator``, rendered and checked.

    :param since: earliest time of submission, in seconds since the epoch.
    :param submitted_before: latest time of submission, likewise.
    :param model: ``None`` = all.
    """

    destination: Any
    filename_pattern: str
    asset_name: str | None
    since: float
    submitted_before: float
    model: str | None
    max_generations: int
    evolink_conn_id: str


def check_literals(operator: Any) -> None:
    """Refuse arguments that are invalid whatever their templates render to. Cheap enough for the parsing of a DAG file.

    :param operator: an ``EvoLinkRecoverOperator``.
    :raises InvalidInputError: one of them; it names the argument.
    """
    check_arguments(vars(operator), required=("destination",))
    _check_pattern(operator.filename_pattern)
    if operator.asset_name is not None and is_literal(operator.asset_name):
        check_asset_pattern(operator.asset_name, of_rows=False)
    _seconds(operator)
    check_limit("max_generations", operator.max_generations)


def parse_arguments(operator: Any, *, now: float) -> RecoveryArguments:
    """Return the arguments of an operator whose templates are rendered.

    :param operator: an ``EvoLinkRecoverOperator``.
    :param now: seconds since the epoch.
    :raises InvalidInputError: one of them is invalid; it names the argument. Nothing was sent.
    """
    check_literals(operator)
    lookback, min_age = _seconds(operator)
    model = operator.model
    if model is not None and not isinstance(model, str):
        raise InvalidInputError("model", model, "the id of a model, or not set")
    return RecoveryArguments(
        destination=operator.destination,
        filename_pattern=operator.filename_pattern,
        asset_name=operator.asset_name,
        since=now - lookback,
        # EvoLink's clock may be ahead.
        submitted_before=now - min_age if min_age else float("inf"),
        # A template renders a missing value as text.
        model=None if model in (None, "", "None") else model,
        max_generations=operator.max_generations,
        evolink_conn_id=operator.evolink_conn_id,
    )


def _check_pattern(pattern: Any) -> None:
    """Refuse a pattern whose files could not be recognized by the next run."""
    if not isinstance(pattern, str) or not has_generation_id(pattern):
        allowed = f"a pattern with {{generation_id}} in it, such as {DEFAULT_PATTERN!r}"
        raise LandingInputError("filename_pattern", pattern, allowed)


def _seconds(operator: Any) -> tuple[float, float]:
    lookback = limits.parse_seconds("lookback", operator.lookback)
    if lookback is None:
        raise InvalidInputError("lookback", None, "more than 0 seconds and at most 30 days, as a number or a timedelta")
    min_age = limits.parse_seconds("min_age", operator.min_age or None) or 0.0
    if min_age >= lookback:
        raise InvalidInputError("min_age", operator.min_age, f"shorter than `lookback`, {lookback:g} s")
    return lookback, min_age
