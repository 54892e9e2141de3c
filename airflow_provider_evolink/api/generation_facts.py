# SPDX-License-Identifier: Apache-2.0
"""What is known about a generation: from EvoLink's report, or from a record, which a DAG may have changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_evolink.api.error_facts import ErrorFacts
from airflow_provider_evolink.api.generation import COMPLETED, Generation


def facts_of_generation(generation: Generation) -> ErrorFacts:
    """Return what EvoLink's report says about a generation."""
    has_ended = generation.is_terminal
    return ErrorFacts(
        generation_id=generation.id,
        model=generation.model,
        credits_reserved=generation.usage.credits_reserved,
        credits_used=generation.credits_charged,
        charged=(generation.status == COMPLETED or generation.was_charged) if has_ended else None,
    )


def facts_of_record(record: Mapping[str, Any]) -> ErrorFacts:
    """Return what the record of a generation says, as an operator returns it."""
    usage = record.get("usage")
    credits_ = usage if isinstance(usage, Mapping) else {}
    return ErrorFacts(
        generation_id=_text(record.get("generation_id")),
        model=_text(record.get("model")),
        credits_reserved=_number(credits_.get("credits_reserved")),
        credits_used=_number(credits_.get("credits_used")),
        charged=True if record.get("status") == "completed" else None,
    )


def seconds_of_record(record: Mapping[str, Any]) -> float | None:
    """Return the seconds from the submission of a generation until its end was read; ``None`` if unknown."""
    try:
        ended, submitted = (datetime.fromisoformat(record[name]) for name in ("finished_at", "submitted_at"))
        seconds = (ended - submitted).total_seconds()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return seconds if seconds >= 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
