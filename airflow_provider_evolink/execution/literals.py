# SPDX-License-Identifier: Apache-2.0
"""Refuse, when a DAG file is parsed, arguments that can't work however their templates are rendered.

A template, the output of another task and a list are known at run time only; then everything is checked again. Cheap:
no network, no database, no catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import PurePath
from typing import Any

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.generation import EXAMPLE_ID
from airflow_provider_evolink.compat import is_parsing_dag_file
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.execution import limits
from airflow_provider_evolink.execution.policies import POLICIES, check_choice, check_upload
from airflow_provider_evolink.landing.asset_names import check_asset_names
from airflow_provider_evolink.landing.existing import parse_on_existing
from airflow_provider_evolink.landing.filenames import Result, check_pattern
from airflow_provider_evolink.landing.storage_target import check_form


def is_literal(value: object) -> bool:
    """Return whether an argument has its final value: a single one, and no template."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    return value is None or isinstance(value, int | float | timedelta | PurePath)


def check_literals(arguments: Mapping[str, Any], *, required: Collection[str] = ()) -> None:
    """Refuse the first literal that is invalid.

    :param arguments: of an operator, by name; those of other names are left alone.
    :param required: names of arguments that must not be ``None``, though they may be for other operators.
    :raises InvalidInputError: it names the argument. Nothing was sent.
    """
    for name, check in _CHECKS.items():
        value = arguments.get(name)
        if name in arguments and is_literal(value) and (value is not None or name not in _OPTIONAL or name in required):
            check(value)
    for name in _NUMBERS:
        _finite(name, arguments.get(name))


@contextmanager
def literal_errors(task_id: object = None) -> Iterator[None]:
    """Raise the errors of literals as a task does, and name the task while a DAG file is parsed.

    :param task_id: of the task, if it is known.
    """
    with airflow_errors():
        try:
            yield
        except InvalidInputError as error:
            if is_parsing_dag_file():
                task = f" of task {task_id!r}" if isinstance(task_id, str) else ""
                error.args = (f"{error.refusal} This argument{task} was refused when the DAG was parsed.",)
            raise


def _choice(name: str, allowed: tuple[str, ...]) -> Callable[[Any], None]:
    return lambda value: check_choice(name, value, allowed)


def _text(name: str, allowed: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if not isinstance(value, str) or not value.strip():
            raise InvalidInputError(name, value, allowed)

    return check


def _finite(name: str, value: Any) -> None:
    from airflow_provider_evolink.api.json_values import check_finite

    for path, number in value.items() if isinstance(value, dict) else [(name, value)]:
        check_finite(number, str(path))


def _source(value: Any) -> None:
    if not isinstance(value, str | PurePath) or not str(value).strip():
        allowed = (
            "a path, a storage URI such as s3://conn_id@bucket/key, an http(s) link, an ObjectStoragePath or a list"
        )
        raise InvalidInputError("source", value, allowed)


def _generation(value: Any) -> None:
    from airflow_provider_evolink.landing.sources import generations_in

    generations_in(value)


def _generation_id(value: Any) -> None:
    from airflow_provider_evolink.execution.pending import collectable

    collectable(value, 1, since=0)


def _callback_url(value: Any) -> None:
    from airflow_provider_evolink.api.request import check_callback_url

    # Which connection is used, and so whether it leads to this machine, is not known yet.
    check_callback_url(value, allow_loopback=True)


_ANY_RESULT = Result(EXAMPLE_ID, 0, "", None)
_OPTIONAL = frozenset(
    {
        "asset_name",
        "callback_url",
        "destination",
        "max_credits",
        "media_type",
        "min_credits_left",
        "model",
        "poll_interval",
        "timeout",
    }
)
# What may hold numbers: Airflow stores rendered fields, and fails at NaN without naming it.
_NUMBERS = ("parameters", "duration")
_CHECKS: Mapping[str, Callable[[Any], object]] = {
    **{name: _choice(name, allowed) for name, allowed in POLICIES.items()},
    "asset_name": lambda value: check_asset_names(value, [_ANY_RESULT]),
    "callback_url": _callback_url,
    "destination": check_form,
    "evolink_conn_id": _text("evolink_conn_id", "the id of an Airflow connection"),
    "filename_pattern": lambda value: check_pattern(value, [_ANY_RESULT]),
    "generation": _generation,
    "generation_id": _generation_id,
    "key": _text("key", "the name of the field that names a row"),
    "max_credits": lambda value: limits.parse_credits("max_credits", value),
    "media_type": _choice("media_type", ("video", "image", "audio")),
    "min_credits_left": lambda value: limits.parse_credits("min_credits_left", value),
    "model": _text("model", "the id of an EvoLink model"),
    "on_existing": parse_on_existing,
    "poll_interval": limits.poll_interval,
    "source": _source,
    "timeout": lambda value: limits.parse_seconds("timeout", value),
    "upload": check_upload,
}
