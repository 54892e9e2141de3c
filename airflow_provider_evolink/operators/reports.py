# SPDX-License-Identifier: Apache-2.0
"""The errors that a task ends with after its generation was paid for: what happened, what it cost, what a retry does.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import (
    EvoLinkError,
    GenerationNotFoundError,
    InvalidInputError,
    PollingFailedError,
    ResultMissingError,
    StaleRequestError,
)
from airflow_provider_evolink.api.results import results_expire_at
from airflow_provider_evolink.result import how_to_collect, reserved_note, resubmit_from, sensor_code
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from airflow_provider_evolink.submission.reports import refusal_text

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.operators.pending import PendingGeneration
    from airflow_provider_evolink.polling.confirmed_read import Refused


def result_missing(generation: Generation, *, cost: float | None, conn_id: str, may_submit: bool) -> ResultMissingError:
    """Report a completed generation without a link to a result.

    :param cost: credits reserved for it; used if EvoLink does not report the credits used.
    :param conn_id: connection of the task.
    :param may_submit: whether the task could pay for a new generation.
    """
    used = cost if generation.usage.credits_used is None else generation.usage.credits_used
    price = "" if used is None else f" ({used:g} credits)"
    resubmit = ' A clear with on_clear="resubmit" pays for a new one.' if may_submit else ""
    return ResultMissingError(
        f"Generation {generation.id} is completed and paid for{price}, but EvoLink's response has no link to a result. "
        "A retry submits nothing: it reads the generation again, since a later response may have the links, and so "
        f"does {sensor_code(generation.id, conn_id)}. If none appears, send the id to EvoLink's support.{resubmit}",
        generation_id=generation.id,
    )


def read_refused(refused: Refused, pending: PendingGeneration, *, may_submit: bool) -> EvoLinkError:
    """Extend a confirmed refusal to return the generation with what was tried and what a clear does.

    :param may_submit: whether the task could pay for a new generation.
    """
    error, origin = refused.error, pending.origin
    resumed = (
        f"Generation {pending.generation_id} stays paid for{reserved_note(origin.credits_reserved)}. Once the cause is "
        "fixed, a clear of this task resumes it and submits nothing."
        if may_submit
        else "If it exists, it stays paid for: once the cause is fixed, a clear of this task waits for it."
    )
    resubmittable = ""
    if may_submit and isinstance(error, GenerationNotFoundError):
        resubmittable = ' With on_clear="resubmit" it pays for a new one instead.'
    elif may_submit:
        resubmittable = resubmit_from(results_expire_at(origin.submitted_at, origin.model))
    text = (
        f"{error} It was read {refused.times} times in {refused.seconds:.0f} s, each time with this response. "
        f"{resumed}{resubmittable}"
    )
    error.args = (text,)
    return error


def invalid_after_payment(error: InvalidInputError, known: LedgerRecord | None, *, conn_id: str) -> EvoLinkError:
    """Extend an error of invalid input with what an earlier try paid for, or may have paid for.

    :param known: what the ledger holds.
    :param conn_id: connection of the task.
    """
    if known is None or known.phase not in (Phase.INTENT, Phase.SUBMITTED, Phase.FINISHED):
        return error
    if known.generation_id is None:
        paid = (
            f"But an earlier try sent a request with idempotency key {known.idempotency_key}, and its response was "
            "lost: it may have been accepted and charged. Restore the input and clear the task to resolve that."
        )
    else:
        paid = (
            f"An earlier try paid for generation {known.generation_id}, which stays: fix the input, or collect it with "
            f"{sensor_code(known.generation_id, conn_id)}."
        )
    return StaleRequestError(
        f"{error.refusal} Nothing was sent now, and a retry sends nothing. {paid}", generation_id=known.generation_id
    )


def cannot_wait(error: EvoLinkError, pending: PendingGeneration, *, conn_id: str) -> PollingFailedError:
    """Report a setting that was broken after the payment, so that the wait can't continue.

    :param error: what is wrong with it.
    :param conn_id: connection of the task.
    """
    cost, generation_id = pending.origin.credits_reserved, pending.generation_id
    return PollingFailedError(
        f"Generation {generation_id} is paid for{reserved_note(cost)}, but waiting for it can't continue. "
        f"{refusal_text(error)} Fix that. {how_to_collect(generation_id, conn_id)}",
        generation_id=generation_id,
    )
