# SPDX-License-Identifier: Apache-2.0
"""The small JSON record that an operator returns, and the errors and log messages that take its place. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_evolink.api.error_codes import is_retryable, permanence
from airflow_provider_evolink.api.errors import (
    EvoLinkError,
    GenerationCancelledError,
    GenerationFailedError,
    GenerationTimeoutError,
    PermanentGenerationFailedError,
    PollingFailedError,
    ResultMissingError,
)
from airflow_provider_evolink.api.generation import CANCELLED, TERMINAL_STATUSES, Generation
from airflow_provider_evolink.api.result_links import RESULT
from airflow_provider_evolink.api.results import results_expire_at
from airflow_provider_evolink.api.sanitize import sanitize, sentence
from airflow_provider_evolink.api.wording import counted
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, describe
from airflow_provider_evolink.types import GenerationRecord

# For what waits for a generation and never submits one.
WAIT_AGAIN = "A retry or a clear of this task waits for it again, for as long; waiting costs nothing."
# For what can't know whether its task still waits.
_UNLESS_DONE = "If the task has its result already, there is nothing to do. Otherwise:"
_MAX_DEPTH, _MAX_BITS = 32, 63


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known about a generation besides EvoLink's report: its submission, and this try.

    :param submitted_at: seconds since the epoch.
    :param replay: ``confirmed`` or ``unconfirmed`` if the submission was sent more than once; see the ledger's record.
    :param reattached: whether an earlier try submitted it.
    """

    submitted_at: float
    model: str | None = None
    credits_reserved: float | None = None
    billing_rule: str | None = None
    replay: str | None = None
    reattached: bool = False
    try_number: int = 1


def build_record(generation: Generation, origin: Origin, *, now: float) -> GenerationRecord:
    """Build the record that goes to XCom.

    :param generation: EvoLink's report.
    :param origin: of the generation.
    :param now: seconds since the epoch.
    :return: ``finished_at`` is when the end was read, which may be a while after it. ``expires_at`` counts from the
        earliest time at which the links can have been created, so that they never expire before it: 24 hours after the
        submission for most models (documented). ``credits_reserved`` comes from the response to the submission, since
        the final one lacks it. ``roles`` is present only if the ``results`` are of different kinds, and labels each as
        ``result``, ``cover`` (of a song or a video) or ``preview``. ``replay`` is present only if the submission was
        sent more than once: ``confirmed`` if EvoLink recognized the idempotency key, otherwise ``unconfirmed``.
    """
    model = generation.model or origin.model
    is_terminal = generation.status in TERMINAL_STATUSES
    record: GenerationRecord = {
        "generation_id": generation.id,
        "model": model,
        "status": generation.status,
        "results": list(generation.links),
        "result_data": _storable(generation.result_data),
        "expires_at": _iso(results_expire_at(origin.submitted_at, model)) if generation.links else None,
        "submitted_at": _iso(origin.submitted_at),
        "finished_at": _iso(now) if is_terminal else None,
        "usage": {
            "credits_reserved": _first(origin.credits_reserved, generation.usage.credits_reserved),
            "credits_used": generation.usage.credits_used,
            "billing_rule": _first(generation.usage.billing_rule, origin.billing_rule),
        },
        "reattached": origin.reattached,
        "try_number": origin.try_number,
    }
    if len({*generation.roles, RESULT}) > 1:
        record["roles"] = list(generation.roles)
    if origin.replay is not None:
        record["replay"] = origin.replay
    return record


def result_line(record: Mapping[str, Any]) -> str:
    """Return what to log of a record, without its links."""
    links = record["results"]
    expiry = f" Links expire at {record['expires_at']}." if links else ""
    return f"Generation {record['generation_id']} is {record['status']}: {counted(len(links), 'result')}.{expiry}"


def failure_error(generation: Generation, *, cost: float | None, may_submit: bool = True) -> GenerationFailedError:
    """Return the error for a generation that ended without a result.

    :param generation: EvoLink's report.
    :param cost: credits that were reserved for it.
    :param may_submit: whether a retry would submit it again.
    """
    error_class: type[GenerationFailedError] = PermanentGenerationFailedError
    if not may_submit:
        what = f"ended as {generation.status} at EvoLink"
        consequence = "A retry finds the same: the task that submitted it has to submit it again."
    elif generation.was_charged:
        what = f"ended as {generation.status} at EvoLink, which charged for it"
        consequence = "It is not retried: ask EvoLink for a refund, or clear the task to pay for a new one."
    elif generation.status == CANCELLED or is_retryable(generation.error_code):
        is_cancelled = generation.status == CANCELLED
        error_class = GenerationCancelledError if is_cancelled else GenerationFailedError
        what = "was cancelled at EvoLink" if is_cancelled else "failed at EvoLink"
        consequence = "A retry submits a new one."
    else:
        what = "failed at EvoLink"
        reason, remedy = permanence(generation.error_code)
        consequence = f"{reason}, so it is not retried: {remedy}."
    why = ": ".join(" ".join(part.split()) for part in (generation.error_code, generation.error_message) if part)
    failure = sentence(f"Generation {generation.id} {what} with {why}" if why else f"Generation {generation.id} {what}")
    return error_class(
        f"{failure} {_charge(generation, cost)} {consequence}",
        generation_id=generation.id,
        code=generation.error_code,
        detail=generation.error_message,
    )


def result_missing(generation: Generation, *, cost: float | None, conn_id: str, may_submit: bool) -> ResultMissingError:
    """Report a completed generation without a link to a result.

    :param cost: credits reserved for it; used if EvoLink does not report the credits used.
    :param conn_id: connection of the task.
    :param may_submit: whether the task could pay for a new generation.
    """
    used = cost if generation.usage.credits_used is None else generation.usage.credits_used
    price = "" if used is None else f" ({used:g} credits)"
    resubmit = ' A clear with on_clear="resubmit" pays for a new one.' if may_submit else ""
    sensor = f", and so does {sensor_code(generation.id, conn_id)}" if may_submit else ""
    return ResultMissingError(
        f"Generation {generation.id} is completed and paid for{price}, but EvoLink's response has no link to a result.",
        advice="A retry submits nothing: it reads the generation again, since a later response may have the links"
        f"{sensor}. If none appears, send the id to EvoLink's support.{resubmit}",
        generation_id=generation.id,
    )


def unfinished_error(
    stop: StopPolling,
    generation_id: str,
    origin: Origin,
    *,
    conn_id: str,
    may_submit: bool,
    now: float,
    retry_after: float | None = None,
) -> EvoLinkError:
    """Return the error for a wait that ended before its generation did.

    :param stop: why it ended.
    :param origin: of the generation.
    :param conn_id: connection of the task.
    :param may_submit: whether the task may pay for a new one at some time.
    :param now: seconds since the epoch.
    :param retry_after: seconds that EvoLink asked to wait before a retry, if it did.
    """
    cost = origin.credits_reserved
    price = "" if cost is None else f" {cost:g} credits are reserved for it."
    # Only the ledger of the task that submitted it knows for sure when that was.
    age = f", {now - origin.submitted_at:.0f} s after its submission" if may_submit else ""
    text = (
        f"Generation {generation_id} {describe(stop)}{age}. It may still complete at EvoLink, which offers no way to "
        f"cancel it.{price}" + (f" Last error: {sentence(stop.detail)}" if stop.detail else "")
    )
    advice = (
        how_to_collect(generation_id, conn_id) + resubmit_from(results_expire_at(origin.submitted_at, origin.model))
        if may_submit
        else WAIT_AGAIN
    )
    error_class = GenerationTimeoutError if stop.outcome is Outcome.DEADLINE else PollingFailedError
    error = error_class(text, advice=advice, generation_id=generation_id, retry_after=retry_after)
    error.detail = stop.detail
    return error


def left_running(generation_id: str, conn_id: str, *, cost: float | None) -> str:
    """Return what to log when a task is killed: what keeps running, what it costs, and how to collect it."""
    return (
        f"Generation {generation_id} keeps running at EvoLink, which can't cancel it, and stays paid for"
        f"{reserved_note(cost)}. {how_to_collect(generation_id, conn_id)}"
    )


def trigger_stopped(generation_id: str, conn_id: str, *, cost: float | None) -> str:
    """Return what to log when a trigger is stopped: what stays paid for, and how to collect it.

    The text holds for every reason, which a trigger can't know: that it moves to another triggerer, that its task was
    cleared or marked, that the run timed out, or that the task has ended long since, as after ``airflow dags test``,
    whose triggers a triggerer starts anew; and it holds whether or not the generation has ended meanwhile.
    """
    return (
        f"This trigger stops here, which changes nothing at EvoLink: generation {generation_id} can't be cancelled and "
        f"stays paid for{reserved_note(cost)}. {_UNLESS_DONE} {how_to_collect(generation_id, conn_id)}"
    )


def batch_trigger_stopped(count: int, *, cost: float | None) -> str:
    """Return the same for a trigger that waits for many generations."""
    return (
        "This trigger stops here, which changes nothing at EvoLink: what it polls "
        f"({counted(count, 'generation')}) can't be cancelled and stays paid for{reserved_note(cost)}. {_UNLESS_DONE} "
        "A retry or a clear of this task resumes it and submits none of it again."
    )


def resubmit_from(timestamp: float) -> str:
    """Return a sentence on when a clear may replace a generation that does not end."""
    return f' From {_iso(timestamp)} on, a clear with on_clear="resubmit" pays for a new one.'


def links_expired(record: Mapping[str, Any], *, now: float) -> bool:
    """Return whether the links of a record have outlived their documented life."""
    try:
        return datetime.fromisoformat(record["expires_at"]).timestamp() <= now
    except (KeyError, TypeError, ValueError, OverflowError):
        # A record that somebody edited is returned all the same.
        return False


def sensor_code(generation_id: str, conn_id: str) -> str:
    """Return the Python code of a task that collects a generation, wherever it was submitted."""
    return f'EvoLinkGenerationSensor(task_id="collect", generation_id="{generation_id}", evolink_conn_id="{conn_id}")'


def reserved_note(cost: float | None) -> str:
    """Return the price of a generation, in parentheses to follow its mention."""
    return "" if cost is None else f" ({cost:g} credits reserved)"


def how_to_collect(generation_id: str, conn_id: str) -> str:
    """Return a sentence on how to resume a generation after its task has ended."""
    return (
        "A retry or a clear of this task resumes it and submits nothing; "
        f"{sensor_code(generation_id, conn_id)} collects it too."
    )


def _charge(generation: Generation, cost: float | None) -> str:
    reported = generation.raw.get("billing")
    billing = reported if isinstance(reported, Mapping) else {}
    names = [name for name in ("charge_status", "refund_status", "charged_credits") if name in billing]
    if names:
        return (
            "EvoLink reports about the charge: " + ", ".join(f"{name} {_word(billing[name])}" for name in names) + "."
        )
    reserved = "The" if cost is None else f"The {cost:g}"
    return (
        f"{reserved} reserved credits are released according to EvoLink's documentation; the response does not say so."
    )


def _word(value: object) -> str:
    return sanitize(str(value), "") or "nothing" if isinstance(value, str | int | float) else "something unreadable"


def _storable(value: Any, depth: int = 0) -> Any:
    """Drop from free-form data what Airflow can't store and would lose the record for: NaN, deep nesting, U+0000."""
    if isinstance(value, Mapping | list) and depth >= _MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        # Airflow reserves names like __classname__.
        return {_storable(name): _storable(item, depth + 1) for name, item in value.items() if name[:2] != "__"}
    if isinstance(value, list):
        return [_storable(item, depth + 1) for item in value]
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, int) and value.bit_length() > _MAX_BITS else value


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _iso(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")
