# SPDX-License-Identifier: Apache-2.0
"""What is said of a generation that is paid for when its task can't get on with it. Pure."""

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
from airflow_provider_evolink.result import reserved_note, resubmit_from, sensor_code
from airflow_provider_evolink.submission.record import LedgerRecord, Phase

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.polling.confirmed_read import Refused


def result_missing(generation: Generation, *, cost: float | None, conn_id: str, may_submit: bool) -> ResultMissingError:
    """
    Put a generation that is completed and has no usable link into an error.

    :param cost: credits that were reserved for it.
    :param may_submit: whether the task could pay for a new one.
    """
    used = cost if generation.usage.credits_used is None else generation.usage.credits_used
    price = "" if used is None else f" ({used:g} credits)"
    anew = ' A clear with on_clear="resubmit" pays for a new one.' if may_submit else ""
    return ResultMissingError(
        f"Generation {generation.id} is completed at EvoLink and paid for{price}, but the answer has no link to a result "
        "that could be fetched. It is not generated again: a retry reads it again, since a later answer may have the "
        f"links, and {sensor_code(generation.id, conn_id)} does so too. If none comes, EvoLink's support needs the id.{anew}",
        generation_id=generation.id,
    )


def read_refused(
    refused: Refused, generation_id: str, *, cost: float | None, may_submit: bool, replaced_from: float
) -> EvoLinkError:
    """
    Return a refusal that is believed, with what was tried and what a clear does.

    :param cost: credits that were reserved for the generation.
    :param may_submit: whether the task could pay for a new one.
    :param replaced_from: when it may, whatever the refusal, in seconds since the epoch.
    """
    error = refused.error
    is_lost = isinstance(error, GenerationNotFoundError)
    anew = ', or, with on_clear="resubmit", pays for a new one.' if is_lost else "." + resubmit_from(replaced_from)
    text = (
        f"{error} It was read {refused.times} times in {refused.seconds:.0f} s, with the same answer. Generation "
        f"{generation_id} stays paid for{reserved_note(cost)}: once that is mended, a clear of this task goes on with it "
        f"and submits nothing{anew if may_submit else '.'}"
    )
    error.args = (text,)
    return error


def invalid_after_payment(error: InvalidInputError, known: LedgerRecord | None, *, conn_id: str) -> EvoLinkError:
    """
    Return a mistake in a task's input with what an earlier try has paid for, or may have: it must not hide that.

    :param known: what the ledger holds.
    """
    if known is None or known.phase not in (Phase.INTENT, Phase.SUBMITTED, Phase.FINISHED):
        return error
    if known.generation_id is None:
        paid = (
            f"But an earlier try sent a request under the key {known.idempotency_key} and its answer was lost: it may have been "
            "charged. Restore the input and clear the task to settle that."
        )
    else:
        paid = (
            f"An earlier try has paid for generation {known.generation_id}, which stays: mend the input, or let "
            f"{sensor_code(known.generation_id, conn_id)} collect it."
        )
    return StaleRequestError(f"{error.refusal} Nothing was sent now. {paid}", generation_id=known.generation_id)


def cannot_wait(error: EvoLinkError, generation_id: str, *, conn_id: str, cost: float | None) -> PollingFailedError:
    """
    Put a setting that was broken after the payment, so that the wait can't go on, into an error.

    :param error: what is wrong with it.
    """
    what = f"{error.parameter}: {error.allowed} is needed." if isinstance(error, InvalidInputError) else str(error)
    return PollingFailedError(
        f"Generation {generation_id} is paid for{reserved_note(cost)}, and waiting for it can't go on: {what} Once that is "
        f"mended, a retry or a clear goes on with it and submits nothing; {sensor_code(generation_id, conn_id)} "
        "collects it too.",
        generation_id=generation_id,
    )
