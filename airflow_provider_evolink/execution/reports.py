# SPDX-License-Identifier: Apache-2.0
"""The errors that a task ends with after its generation was paid for: what happened, what it cost, what a retry does.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import (
    ConfigurationError,
    EvoLinkError,
    GenerationFailedError,
    GenerationNotFoundError,
    InvalidInputError,
    LandingError,
    PollingFailedError,
    StaleRequestError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.api.results import results_expire_at
from airflow_provider_evolink.api.wording import shorten
from airflow_provider_evolink.result import (
    WAIT_AGAIN,
    how_to_collect,
    left_running,
    reserved_note,
    resubmit_from,
    sensor_code,
)
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from airflow_provider_evolink.submission.reports import refusal_text

if TYPE_CHECKING:
    from airflow_provider_evolink.execution.pending import PendingGeneration
    from airflow_provider_evolink.polling.confirmed_read import Refused


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
    times = "once" if refused.times == 1 else f"{refused.times} times in {refused.seconds:.0f} s, each time"
    error.facts = f"{error.facts} It was read {times} with this response."
    error.advice = f"{resumed}{resubmittable}"
    if not refused.is_confirmed:
        error.permanent = False
        error.advice = "`timeout` left no time to rule out a stray response: a retry reads the generation again."
    error.args = (f"{error.facts} {error.advice}",)
    return error


def invalid_after_payment(
    error: InvalidInputError, known: LedgerRecord | None, *, conn_id: str, paid_by: str = "an earlier try"
) -> EvoLinkError:
    """Extend an error of invalid input with what was paid for before, or may have been.

    :param known: what the ledger holds.
    :param conn_id: connection of the task.
    :param paid_by: who has submitted that.
    """
    if known is None or not _is_paid(known):
        return error
    if known.generation_id is None:
        paid = f"But {_in_doubt(known, paid_by)} Restore the input and clear the task to resolve that."
    else:
        paid = (
            f"{paid_by[0].upper()}{paid_by[1:]} paid for generation {known.generation_id}, which stays: fix the input, "
            f"or collect it with {sensor_code(known.generation_id, conn_id)}."
        )
    return StaleRequestError(
        f"{error.refusal} Nothing was sent now, and a retry sends nothing. {paid}", generation_id=known.generation_id
    )


def key_used_again(record: LedgerRecord, key: str) -> StaleRequestError:
    """Report that two calls of one try share a key, and ask for two generations.

    :param record: of the earlier call.
    """
    paid = (
        f"generation {record.generation_id}{reserved_note(record.credits_reserved)}, which stays paid for"
        if record.generation_id is not None
        else f"idempotency key {record.idempotency_key}, whose response was lost: it may have been accepted and charged"
    )
    return StaleRequestError(
        f"`key`={shorten(key)} belongs to another request of this same try: {paid}. Nothing was sent now, and a retry "
        "does the same, since under one key a task has one generation, whatever on_changed_input says. Give each "
        'generation a key of its own, such as key=f"scene-{number}" in a loop: one that the next try gives it, too.',
        generation_id=record.generation_id,
    )


def cannot_land_now(error: LandingError, known: LedgerRecord | None, *, conn_id: str) -> LandingError:
    """Extend the error of a storage that can't be opened at the moment with what an earlier try paid for, if anything.

    :param known: what the ledger holds.
    :param conn_id: connection of the task.
    """
    facts = f"{error.facts} Nothing was sent to EvoLink now: this attempt cost nothing."
    if known is None or not _is_paid(known):
        return type(error)(facts, advice=error.advice if error.permanent else "A retry tries again.")
    if known.generation_id is None:
        return LandingError(f"{facts} But {_in_doubt(known)} A retry that can open the storage resolves that.")
    return LandingError(
        f"{facts} Generation {known.generation_id} stays paid for{reserved_note(known.credits_reserved)}. "
        f"{how_to_collect(known.generation_id, conn_id)}",
        generation_id=known.generation_id,
    )


def cannot_connect_now(
    error: ConfigurationError, known: LedgerRecord | None, *, paid_by: str = "an earlier try"
) -> ConfigurationError:
    """Extend the error of a connection that can't be used with what was paid for before, or may have been.

    :param known: what the ledger holds.
    :param paid_by: who has submitted that.
    """
    if known is None or not _is_paid(known):
        return error
    if known.generation_id is None:
        paid = f"But {_in_doubt(known, paid_by)} A retry that can use the connection resolves that."
    else:
        paid = (
            f"{paid_by[0].upper()}{paid_by[1:]} paid for generation {known.generation_id}"
            f"{reserved_note(known.credits_reserved)}, which stays: a retry that can use the connection resumes it."
        )
    return type(error)(f"{error.facts} {paid}", advice=error.advice, generation_id=known.generation_id)


def name_unlanded_generation(error: EvoLinkError, generation_id: str) -> None:
    """Extend the error of a landing that does not name the generation: it is completed and paid for.

    :param error: an invalid value, or a storage, connection or response that can't be used.
    """
    if error.generation_id is not None:
        return
    retry = "A retry finds the same: fix that and clear this task, which lands" if error.permanent else "A retry lands"
    text = (
        f"Generation {generation_id} is completed and paid for, but its results can't be landed. "
        f"{error.facts if isinstance(error, LandingError) else refusal_text(error)} {retry} them and generates nothing."
    )
    # What the error itself says about the charge is about this attempt.
    error.args, error.generation_id, error.charged = (text,), generation_id, True


def killed(record: LedgerRecord | None, conn_id: str) -> str:
    """Return what to log when a task is killed.

    :param record: what it has paid for, or collected, as far as this is known.
    :param conn_id: connection of the task.
    """
    if record is None or record.generation_id is None:
        return (
            "Killed before a submission was confirmed: nothing more will be submitted. A request that is already on "
            "its way may be accepted and paid for; a retry or a clear of this task finds out and resumes it."
        )
    if record.phase is Phase.FINISHED:
        return (
            f"Killed. Generation {record.generation_id} is completed and paid for. A retry or a clear of this task "
            "returns it, lands what has not landed, and submits nothing."
        )
    return f"Killed. {left_running(record.generation_id, conn_id, cost=record.credits_reserved)}"


def interrupted_outside_task(record: LedgerRecord | None, conn_id: str) -> str:
    """Return what to log when a call outside of a task is interrupted, which nothing but this log remembers."""
    if record is None or record.generation_id is None:
        return (
            "Interrupted before a submission was confirmed: nothing more will be submitted. A request that is already "
            "on its way may be accepted and paid for: look in EvoLink's task list; calling it again pays again."
        )
    return (
        f"Interrupted. Generation {record.generation_id} keeps running at EvoLink and stays paid for; calling it again "
        f'pays again. EvoLinkHook("{conn_id}").wait("{record.generation_id}") collects it.'
    )


def name_call_outside_task(error: EvoLinkError, conn_id: str) -> None:
    """Extend an error about what stays paid for: outside of a task, no retry that the error offers remembers it.

    :param error: of a call of ``EvoLinkHook.generate`` or ``wait``.
    :param conn_id: connection of the hook.
    """
    if isinstance(error, SubmissionUnknownError):
        collect = "Look for the generation in EvoLink's task list; calling it again pays again."
    elif error.generation_id is None or isinstance(error, GenerationFailedError):
        return
    else:
        collect = f'EvoLinkHook("{conn_id}").wait("{error.generation_id}") collects the generation.'
    error.advice = f"This was called outside of a task, which no retry or clear resumes. {collect}"
    error.args = (f"{error.facts} {error.advice}",)


def expired_links(expires_at: object, *, lands: bool) -> str:
    """Return the warning about a recorded result whose links have expired.

    :param expires_at: when they did.
    :param lands: whether the task lands the results now.
    """
    files = (
        "Files that have landed are kept; a missing one can land only if EvoLink still gives a new link to it."
        if lands
        else "Files that have landed are not affected."
    )
    return (
        f"Its links expired at {expires_at}. {files} To generate it again, clear this task with "
        'on_clear="resubmit", which pays again.'
    )


def cannot_wait(
    error: EvoLinkError, pending: PendingGeneration, *, conn_id: str, may_submit: bool
) -> PollingFailedError:
    """Report a setting that was broken after the payment, so that the wait can't continue.

    :param error: what is wrong with it.
    :param conn_id: connection of the task.
    :param may_submit: whether the task could pay for a new generation.
    """
    cost, generation_id = pending.origin.credits_reserved, pending.generation_id
    return PollingFailedError(
        f"Generation {generation_id} is paid for{reserved_note(cost)}, but waiting for it can't continue. "
        f"{refusal_text(error)} Fix that.",
        advice=how_to_collect(generation_id, conn_id) if may_submit else WAIT_AGAIN,
        generation_id=generation_id,
    )


def _is_paid(known: LedgerRecord) -> bool:
    """Return whether an earlier try has paid for something, or may have, that a later one resumes."""
    return known.phase in (Phase.INTENT, Phase.SUBMITTED, Phase.FINISHED)


def _in_doubt(known: LedgerRecord, paid_by: str = "an earlier try") -> str:
    return (
        f"{paid_by} sent a request with idempotency key {known.idempotency_key}, and its response was lost: it "
        "may have been accepted and charged."
    )
