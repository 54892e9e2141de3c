# SPDX-License-Identifier: Apache-2.0
"""The small JSON record that an operator returns, and the error that stands in its place. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_evolink.api.error_codes import is_retryable
from airflow_provider_evolink.api.errors import (
    EvoLinkError,
    GenerationCancelledError,
    GenerationFailedError,
    GenerationTimeoutError,
    PermanentGenerationFailedError,
    PollingFailedError,
)
from airflow_provider_evolink.api.generation import CANCELLED, TERMINAL_STATUSES, Generation
from airflow_provider_evolink.api.result_links import RESULT
from airflow_provider_evolink.api.results import results_expire_at
from airflow_provider_evolink.api.sanitize import sanitize, sentence
from airflow_provider_evolink.polling.policy import Outcome, StopPolling, describe

_MAX_DEPTH, _MAX_BITS = 32, 63


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of a generation besides EvoLink's last word: its submission and this try."""

    submitted_at: float
    model: str | None = None
    credits_reserved: float | None = None
    billing_rule: str | None = None
    replay: str | None = None
    reattached: bool = False
    try_number: int = 1


def build_record(generation: Generation, origin: Origin, *, now: float) -> dict[str, Any]:
    """
    Put together the record that goes to XCom.

    ``finished_at`` is when the end was read, which may be a while after it. ``expires_at`` is reckoned from the
    earliest moment at which the links can have come to life, so that they never die before it: 24 hours after the
    submission for most models (documented). ``credits_reserved`` comes from the create answer, since the final one
    lacks it. ``roles`` is only there when the ``results`` are not all of a kind: it says of each whether it is a
    ``result``, a ``cover`` (of a song or a video) or a ``preview``.
    ``replay`` is only there when the submission was sent more than once: ``confirmed`` if EvoLink recognised the key,
    ``unconfirmed`` if it did not say so.
    """
    model = generation.model or origin.model
    is_terminal = generation.status in TERMINAL_STATUSES
    record = {
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
    return record if origin.replay is None else {**record, "replay": origin.replay}


def failure_error(generation: Generation, *, cost: float | None, may_submit: bool = True) -> GenerationFailedError:
    """
    Put a generation that ended without a result into an error.

    :param cost: credits that were reserved for it.
    :param may_submit: whether a retry would submit it anew.
    """
    kind: type[GenerationFailedError]
    if not may_submit:
        kind, what = PermanentGenerationFailedError, f"has ended as {generation.status} at EvoLink"
        after = "A retry finds the same: whoever submitted it must submit it anew."
    elif generation.was_charged:
        kind, what = PermanentGenerationFailedError, f"has ended as {generation.status} at EvoLink, which charged it"
        after = "So it is not retried: ask EvoLink for a refund, or clear the task to pay for a new one."
    elif generation.status == CANCELLED:
        kind, what, after = (
            GenerationCancelledError,
            "was cancelled at EvoLink",
            "A retry submits it as a new one.",
        )
    elif is_retryable(generation.error_code):
        kind, what, after = GenerationFailedError, "failed at EvoLink", "A retry submits it as a new one."
    else:
        kind, what = PermanentGenerationFailedError, "failed at EvoLink"
        after = "The same request would fail again, so it is not retried: mend the request, then clear the task."
    why = ": ".join(" ".join(part.split()) for part in (generation.error_code, generation.error_message) if part)
    ending = sentence(f"Generation {generation.id} {what} with {why}" if why else f"Generation {generation.id} {what}")
    return kind(
        f"{ending} {_charge(generation, cost)} {after}",
        generation_id=generation.id,
        code=generation.error_code,
        detail=generation.error_message,
    )


def unfinished_error(
    stop: StopPolling,
    generation_id: str,
    *,
    waited: float,
    conn_id: str,
    cost: float | None,
    retry_after: float | None = None,
    replaced_from: float | None = None,
) -> EvoLinkError:
    """
    Put a wait that ended before its generation did into an error.

    :param waited: seconds since the submission.
    :param retry_after: seconds after which EvoLink asked to be tried again, if it did.
    :param replaced_from: when the task may pay for a new one, in seconds since the epoch; ``None`` = never.
    """
    price = "" if cost is None else f" {cost:g} credits are reserved for it."
    text = (
        f"Generation {generation_id} {describe(stop)}, {waited:.0f} s after its submission. It may still be completed "
        f"at EvoLink, which offers no way to cancel it.{price} A retry goes on with it and submits nothing; "
        f"{sensor_code(generation_id, conn_id)} collects it too."
        + ("" if replaced_from is None else resubmit_from(replaced_from))
        + (f" Last failure: {stop.detail}" if stop.detail else "")
    )
    kind = GenerationTimeoutError if stop.outcome is Outcome.DEADLINE else PollingFailedError
    return kind(text, generation_id=generation_id, retry_after=retry_after)


def left_running(generation_id: str, conn_id: str, *, cost: float | None) -> str:
    """What to tell a person who has stopped a task: what goes on, what it costs, how to collect it."""
    return (
        f"Generation {generation_id} goes on at EvoLink, which can't cancel it, and stays paid for{reserved_note(cost)}. "
        f"{how_to_collect(generation_id, conn_id)}"
    )


def trigger_stopped(generation_id: str, conn_id: str, *, cost: float | None) -> str:
    """
    What to say when a trigger is stopped.

    It holds whatever the reason, which a trigger can't know: that it moves to another triggerer, that its task was
    cleared or marked, or that the run has timed out; and whether or not the generation has ended meanwhile.
    """
    return (
        "This trigger stops here, which changes nothing at EvoLink: "
        f"generation {generation_id} can't be cancelled and stays paid for{reserved_note(cost)}. "
        f"{how_to_collect(generation_id, conn_id)}"
    )


def resubmit_from(moment: float) -> str:
    """From when on a generation that does not end is replaced, if somebody wishes."""
    return f' From {_iso(moment)} on, a clear with on_clear="resubmit" pays for a new one.'


def links_expired(record: Mapping[str, Any], *, now: float) -> bool:
    """Whether the links of a record have outlived their documented life."""
    try:
        return datetime.fromisoformat(record["expires_at"]).timestamp() <= now
    except (KeyError, TypeError, ValueError, OverflowError):
        # A record that somebody edited is handed on all the same.
        return False


def sensor_code(generation_id: str, conn_id: str) -> str:
    """The task that collects a generation, whoever submitted it, as a line of Python."""
    return f'EvoLinkGenerationSensor(task_id="collect", generation_id="{generation_id}", evolink_conn_id="{conn_id}")'


def reserved_note(cost: float | None) -> str:
    """What a generation may cost, to stand behind it in a sentence."""
    return "" if cost is None else f" ({cost:g} credits reserved)"


def how_to_collect(generation_id: str, conn_id: str) -> str:
    """Who goes on with a generation after its task was stopped."""
    return (
        "A retry or a clear of this task goes on with it and submits nothing; "
        f"{sensor_code(generation_id, conn_id)} collects it too."
    )


def _charge(generation: Generation, cost: float | None) -> str:
    billing = generation.raw.get("billing")
    said = billing if isinstance(billing, Mapping) else {}
    names = [name for name in ("charge_status", "refund_status", "charged_credits") if name in said]
    if names:
        return "EvoLink says of the charge: " + ", ".join(f"{name} {_word(said[name])}" for name in names) + "."
    reserved = "The" if cost is None else f"The {cost:g}"
    return f"{reserved} reserved credits are released by EvoLink's documents; the answer itself does not say so."


def _word(value: object) -> str:
    return sanitize(str(value), "") or "nothing" if isinstance(value, str | int | float) else "something unreadable"


def _storable(value: Any, depth: int = 0) -> Any:
    """Leave out of free-form data what Airflow can't store and would lose the record for: NaN, depth, U+0000, …."""
    if isinstance(value, Mapping | list) and depth >= _MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        # Airflow keeps names like __classname__ for itself.
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


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
