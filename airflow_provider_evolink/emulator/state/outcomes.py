# SPDX-License-Identifier: Apache-2.0
"""Decide, when a generation is accepted, how it will end. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_evolink.emulator.faults.registry import Fault
from airflow_provider_evolink.emulator.state.generations import PlannedOutcome

_MESSAGES = {
    "content_policy_violation": "Content policy violation.\nYour request was blocked by safety filters.",
    "service_error": "Service error.\nPlease wait 30-60 seconds and send the same request again.",
}
_OUTCOMES: Mapping[str, Callable[[Mapping[str, Any]], PlannedOutcome]] = {
    "generation_failed": lambda options: _failure(options["code"], options["message"]),
    "moderation_rejected": lambda options: _failure(options["code"], options["message"]),
    "generation_cancelled": lambda _: PlannedOutcome("cancelled"),
    "generation_stalled": lambda options: PlannedOutcome(stalls_at=options["progress"]),
    "unknown_status": lambda options: PlannedOutcome(running_status=options["status"]),
    "no_results": lambda _: PlannedOutcome(delivery="nothing"),
    "result_data_only": lambda _: PlannedOutcome(delivery="result_data"),
}


def plan_outcome(fault: Fault | None, created_status: str, *, is_image_readable: bool) -> PlannedOutcome:
    """Decide how a generation will end.

    :param fault: the fault of the stage ``generation`` that fired for it, if any.
    :param created_status: status in the response to the submission.
    :param is_image_readable: whether its source image, if any, can be decoded; EvoLink accepts one that cannot, and
        fails the generation while processing it.
    """
    outcome = _OUTCOMES[fault.name](fault.options) if fault else PlannedOutcome()
    if not is_image_readable:
        outcome = _failure("image_processing_error")
    return replace(outcome, created_status=created_status)


def _failure(code: str, message: str | None = None) -> PlannedOutcome:
    default = _MESSAGES.get(code) or code.replace("_", " ").capitalize() + "."
    return PlannedOutcome("failed", code, message or default)
