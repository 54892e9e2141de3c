# SPDX-License-Identifier: Apache-2.0
"""Check the arguments of a batch: at parse time what is written out, and everything before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.batch.names import check_asset_pattern, check_row_pattern
from airflow_provider_evolink.execution import limits, literals
from airflow_provider_evolink.execution.policies import check_choice, check_policies, check_upload
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.landing.filenames import unmet_requirement
from airflow_provider_evolink.landing.storage_target import check_destination
from airflow_provider_evolink.submission.decision import Policy

if TYPE_CHECKING:
    from airflow_provider_evolink.media.resolver import UploadPolicy

MAX_IN_FLIGHT = 10_000


@dataclass(frozen=True, slots=True)
class BatchArguments:
    """The arguments of ``EvoLinkBatchOperator``, rendered and checked.

    :param min_credits_left: the task's own; ``None`` = ``[evolink] min_credits_left``.
    :param wait_seconds: for which a row is waited for after its submission.
    :param poll_interval: seconds; ``None`` = adaptive.
    :param unreachable_timeout: seconds for which every read may fail.
    """

    model: Any
    requests: Any
    key: Any
    destination: Any
    filename_pattern: str
    asset_name: str | None
    parameters: Any
    manifest: str | None
    max_in_flight: int
    max_credits: float | None
    min_credits_left: float | None
    max_failed: float
    on_row_failure: str
    on_invalid: Literal["fail", "skip"]
    skip_existing: bool
    on_existing: OnExisting
    media_type: str | None
    upload: UploadPolicy
    evolink_conn_id: str
    policy: Policy
    wait_seconds: float
    poll_interval: float | None
    unreachable_timeout: float


def check_literals(operator: Any) -> None:
    """Refuse arguments that are invalid whatever their templates render to. Cheap enough for the parsing of a DAG file.

    :param operator: an ``EvoLinkBatchOperator``.
    :raises InvalidInputError: one of them; it names the argument.
    """
    _check_choices(operator)
    # These have other choices and fields than those of the other operators.
    shared = {name: value for name, value in vars(operator).items() if name not in _OWN_CHOICES}
    literals.check_literals(shared, required=("destination",))
    for name, check in _CHECKS.items():
        value = getattr(operator, name)
        if literals.is_literal(value) and (value is not None or name not in _OPTIONAL):
            check(value)


def parse_arguments(operator: Any) -> BatchArguments:
    """Return the arguments of an operator whose templates are rendered.

    :param operator: an ``EvoLinkBatchOperator``.
    :raises InvalidInputError: one of them is invalid; it names the argument. Nothing was sent.
    :raises LandingError: Airflow does not find the connection of the destination. A retry looks it up again.
    """
    _check_choices(operator)
    check_row_pattern(operator.filename_pattern)
    if operator.asset_name is not None:
        check_asset_pattern(operator.asset_name)
    check_destination(operator.destination)
    same = (
        "model", "requests", "key", "destination", "filename_pattern", "asset_name", "parameters",
        "max_failed",
        "on_row_failure", "on_invalid", "skip_existing", "media_type", "upload", "evolink_conn_id",
    )  # fmt: skip
    return BatchArguments(
        **{name: getattr(operator, name) for name in same},
        manifest=_manifest(operator.manifest),
        max_in_flight=_max_in_flight(operator.max_in_flight),
        max_credits=limits.parse_credits("max_credits", operator.max_credits),
        min_credits_left=limits.parse_credits("min_credits_left", operator.min_credits_left),
        on_existing=OnExisting(operator.on_existing),
        policy=Policy(operator.on_unknown_submission, operator.on_clear, operator.on_changed_input),
        wait_seconds=limits.wait_seconds(operator.timeout, operator.execution_timeout),
        poll_interval=limits.poll_interval(operator.poll_interval),
        unreachable_timeout=limits.unreachable_timeout(),
    )


def _check_choices(operator: Any) -> None:
    check_policies(operator)
    check_upload(operator.upload)
    check_choice("on_row_failure", operator.on_row_failure, ("continue", "stop"))
    check_choice("on_invalid", operator.on_invalid, ("fail", "skip"))
    check_choice("on_existing", operator.on_existing, ("fail", "replace"))
    value = operator.max_failed
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or value < 0 or (isinstance(value, float) and not value <= 1):
        raise InvalidInputError("max_failed", value, "a number of rows (int, 0 or more) or a share (float, 0.0 to 1.0)")


def _manifest(value: Any) -> str | None:
    if value is None or value == "":
        return None
    requirement = unmet_requirement(value) if isinstance(value, str) else "text"
    if requirement:
        raise InvalidInputError("manifest", value, f"the name of a file below `destination`: {requirement}")
    return str(value)


def _max_in_flight(value: Any) -> int:
    number = limits.parse_number(value)
    if number is None or number != int(number) or not 1 <= number <= MAX_IN_FLIGHT:
        raise InvalidInputError("max_in_flight", value, f"a whole number from 1 to {MAX_IN_FLIGHT:,}")
    return int(number)


def _parameters(value: Any) -> None:
    """Refuse a literal in place of a mapping; of all rows there may be none."""
    if value is not None:
        from airflow_provider_evolink.operators.parameters import as_parameters

        as_parameters(value)


def _requests(value: Any) -> None:
    """Refuse a literal that is not the name of a file with rows."""
    if not str(value).lower().endswith(_ENDINGS):
        from airflow_provider_evolink.operators.row_source import row_table

        row_table(value, "key")


_ENDINGS = (".csv", ".jsonl", ".ndjson")
_OPTIONAL = ("asset_name",)
_OWN_CHOICES = ("asset_name", "filename_pattern", "on_existing")
_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "asset_name": check_asset_pattern,
    "filename_pattern": check_row_pattern,
    "manifest": _manifest,
    "max_in_flight": _max_in_flight,
    "parameters": _parameters,
    "requests": _requests,
}
