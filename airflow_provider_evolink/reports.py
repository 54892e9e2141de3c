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
from airflow_provider_evolink.ledger import Phase, Record
from airflow_provider_evolink.result import anew_from, collecting, how_to_collect, reserved

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.patience import Refused


def result_missing(seen: Generation, *, cost: float | None, conn_id: str, may_submit: bool) -> ResultMissingError:
    """
    Put a generation that is completed and has no usable link into an error.

    :param cost: credits that were reserved for it.
    :param may_submit: whether the task could pay for a new one.
    """
    used = cost if seen.usage.credits_used is None else seen.usage.credits_used
    price = "" if used is None else f" ({used:g} credits)"
    anew = ' A clear with on_clear="resubmit" pays for a new one.' if may_submit else ""
    return ResultMissingError(
        f"Generation {seen.id} is completed at EvoLink and paid for{price}, but the answer has no link to a result "
        "that could be fetched. It is not generated again: a retry reads it again, since a later answer may have the "
        f"links, and {collecting(seen.id, conn_id)} does so too. If none comes, EvoLink's support needs the id.{anew}",
        generation_id=seen.id,
    )


def given_up(
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
    anew = ', or, with on_clear="resubmit", pays for a new one.' if is_lost else "." + anew_from(replaced_from)
    text = (
        f"{error} It was read {refused.times} times in {refused.seconds:.0f} s, with the same answer. Generation "
        f"{generation_id} stays paid for{reserved(cost)}: once that is mended, a clear of this task goes on with it "
        f"and submits nothing{anew if may_submit else '.'}"
    )
    error.args = (text,)
    return error


def mistaken_since(error: InvalidInputError, known: Record | None, *, conn_id: str) -> EvoLinkError:
    """
    Return a mistake in a task's input with what an earlier try has paid for, or may have: it must not hide that.

    :param known: what the ledger holds.
    """
    if known is None or known.phase not in (Phase.INTENT, Phase.SUBMITTED, Phase.FINISHED):
        return error
    if known.generation_id is None:
        paid = (
            f"But an earlier try sent a request under the key {known.key} and its answer was lost: it may have been "
            "charged. Restore the input and clear the task to settle that."
        )
    else:
        paid = (
            f"An earlier try has paid for generation {known.generation_id}, which stays: mend the input, or let "
            f"{collecting(known.generation_id, conn_id)} collect it."
        )
    return StaleRequestError(f"{error.refusal} Nothing was sent now. {paid}", generation_id=known.generation_id)


def unwatchable(error: EvoLinkError, generation_id: str, *, conn_id: str, cost: float | None) -> PollingFailedError:
    """
    Put a setting that was broken after the payment, so that the wait can't go on, into an error.

    :param error: what is wrong with it.
    """
    what = f"{error.parameter}: {error.allowed} is needed." if isinstance(error, InvalidInputError) else str(error)
    return PollingFailedError(
        f"Generation {generation_id} is paid for{reserved(cost)}, and waiting for it can't go on: {what} Once that is "
        f"mended, a retry or a clear goes on with it and submits nothing; {collecting(generation_id, conn_id)} "
        "collects it too.",
        generation_id=generation_id,
    )


def left_alone(generation_id: str, conn_id: str, *, cost: float | None) -> str:
    """
    What to say when a trigger is stopped.

    It holds whatever the reason, which a trigger can't know: that it moves to another triggerer, that its task was
    cleared or marked, or that the run has timed out; and whether or not the generation has ended meanwhile.
    """
    return (
        "This trigger stops here, which changes nothing at EvoLink: "
        f"generation {generation_id} can't be cancelled and stays paid for{reserved(cost)}. "
        f"{how_to_collect(generation_id, conn_id)}"
    )
