# SPDX-License-Identifier: Apache-2.0
"""A generation that a task waits for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import GenerationNotFoundError, InvalidInputError
from airflow_provider_evolink.api.generation import EXAMPLE_ID, NOT_FOUND_GRACE, may_be_generation_id, submission_time
from airflow_provider_evolink.result import Origin

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.polling.confirmed_read import Refused


@dataclass(frozen=True, slots=True)
class PendingGeneration:
    """A generation to wait for, and where it comes from.

    :param origin: its submission, and this try.
    :param estimated_time: EvoLink's estimate, in seconds.
    :param since: start of the timeout, in seconds since the epoch; ``None`` = at the submission.
    """

    generation_id: str
    origin: Origin
    estimated_time: float | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True)
class KeepWaiting:
    """The wait ended before the generation did, and has to be resumed.

    :param failing_since: since when reads have failed, in seconds since the epoch; ``None`` = the last one succeeded.
    """

    pending: PendingGeneration
    failing_since: float | None = None


def collectable(generation: object, try_number: int, *, since: float) -> PendingGeneration:
    """Return a generation that was submitted elsewhere, to wait for it.

    :param generation: its id, or a record that contains it.
    :param since: from when the timeout counts, in seconds since the epoch.
    :raises InvalidInputError: it is neither.
    """
    value = generation.get("generation_id") if isinstance(generation, Mapping) else generation
    if not isinstance(value, str) or not may_be_generation_id(value):
        raise InvalidInputError("generation_id", generation, f"an id such as {EXAMPLE_ID}")
    origin = Origin(submitted_at=submission_time(value) or time.time(), try_number=try_number)
    return PendingGeneration(value, origin, since=since)


def after_read(pending: PendingGeneration, generation: Generation) -> PendingGeneration:
    """Return what is known of a generation that was submitted elsewhere, once it has been read."""
    origin = Origin(
        submitted_at=min(generation.created or pending.origin.submitted_at, time.time()),
        model=generation.model,
        credits_reserved=generation.usage.credits_reserved,
        billing_rule=generation.usage.billing_rule,
        try_number=pending.origin.try_number,
    )
    return PendingGeneration(generation.id, origin, generation.estimated_time, pending.since)


def may_be_unknown_yet(generation_id: str, refused: Refused) -> bool:
    """Return whether a generation is so new that EvoLink may not know it yet."""
    age = time.time() - (submission_time(generation_id) or 0.0)
    return isinstance(refused.error, GenerationNotFoundError) and age < NOT_FOUND_GRACE
