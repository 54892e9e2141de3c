# SPDX-License-Identifier: Apache-2.0
"""Documented response bodies. Pure: functions of a generation, its state and the clock's speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_evolink.emulator.routes.deliveries import deliver
from airflow_provider_evolink.emulator.state.account import Account
from airflow_provider_evolink.emulator.state.generations import Generation, GenerationState
from airflow_provider_evolink.emulator.state.variants import Variants

DEFAULT_VARIANTS = Variants()
USER_GROUP = "default"
CREDITS_PER_USD, CREDITS_PER_CNY = 68, 10  # undocumented; from EvoLink's clients


def detail(
    generation: Generation, state: GenerationState, speed: float = 1.0, variants: Variants = DEFAULT_VARIANTS
) -> dict[str, Any]:
    """Build the response to a submission, or to a query for one generation.

    Documented; ``usage`` as observed in real responses.

    :param generation: the generation.
    :param state: its state.
    :param speed: emulated seconds per real second; durations are in real seconds.
    :param variants: optional parts of the response.
    """
    billing = {"billing": _billing(generation, state)} if variants.billing else {}
    return _head(generation, state) | _outcome(generation, state, speed, variants) | billing


def _outcome(generation: Generation, state: GenerationState, speed: float, variants: Variants) -> dict[str, Any]:
    if not state.is_terminal:
        task_info = {"can_cancel": True, "estimated_time": _estimate(generation, speed)}
        return {"task_info": task_info, "usage": _reservation(generation)}
    ended = {"task_info": {"can_cancel": False}, **_duration(generation, state, speed)}
    if state.status == "completed":
        return ended | deliver(generation) | {"usage": _charge(generation, has_cost=variants.cost)}
    return ended | ({"error": _error(generation)} if state.status == "failed" else {})


def list_entry(generation: Generation, state: GenerationState, speed: float = 1.0) -> dict[str, Any]:
    """Build the entry of a generation in the list (undocumented; the fields that EvoLink's own clients read).

    :param generation: the generation.
    :param state: its state.
    :param speed: emulated seconds per real second.
    """
    completed = state.status == "completed"
    return {
        "id": generation.id,
        "model": generation.spec.model,
        "type": generation.spec.kind,
        "status": state.status,
        "progress": state.progress,
        "created_at": generation.created,
        **_duration(generation, state, speed),
        "has_results": completed and bool(generation.result_urls),
        "result_count": len(generation.result_urls) if completed else 0,
        "has_error": state.status == "failed",
        **({"credits_used": generation.spec.quote.price} if completed else {}),
    }


def account_credits(account: Account, *, is_unlimited: bool) -> dict[str, Any]:
    """Build the response to a query for credits (documented).

    :param account: the account.
    :param is_unlimited: whether the API key has no limit of its own; its remaining credits mean nothing then.
    """
    balance = {"remaining_credits": account.balance, "used_credits": account.charged}
    token = balance | {"unlimited_credits": is_unlimited} | ({"remaining_credits": 0} if is_unlimited else {})
    data = {"token": token, "user": balance}
    return {"data": data, "message": "", "success": True}


def models(names: Sequence[str]) -> dict[str, Any]:
    """Build the list of models (documented in the ComfyUI guide only)."""
    return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}


def _head(generation: Generation, state: GenerationState) -> dict[str, Any]:
    return {
        "created": generation.created,
        "id": generation.id,
        "model": generation.spec.model,
        "object": f"{generation.spec.kind}.generation.task",
        "progress": state.progress,
        "status": state.status,
        "type": generation.spec.kind,
    }


def _estimate(generation: Generation, speed: float) -> int:
    return max(1, math.ceil(generation.spec.estimated_seconds / speed))


def _duration(generation: Generation, state: GenerationState, speed: float) -> dict[str, int]:
    """Return how many real seconds a generation took, once it has completed or failed (documented)."""
    if state.status not in ("completed", "failed"):
        return {}
    return {"duration": math.ceil((generation.ends_at - generation.submitted_at) / speed)}


def _reservation(generation: Generation) -> dict[str, Any]:
    quote = generation.spec.quote
    return {"billing_rule": quote.rule, "credits_reserved": quote.reserved, "user_group": USER_GROUP}


def _charge(generation: Generation, *, has_cost: bool) -> dict[str, Any]:
    credits_used = generation.spec.quote.price
    if not has_cost:
        return {"credits_used": credits_used}
    amounts = {"usd": round(credits_used / CREDITS_PER_USD, 4), "cny": round(credits_used / CREDITS_PER_CNY, 4)}
    return {"credits_used": credits_used, "cost": {"credits": credits_used, **amounts}}


def _billing(generation: Generation, state: GenerationState) -> dict[str, Any]:
    quote = generation.spec.quote
    reserved = {"reserved_credits": quote.reserved}
    if not state.is_terminal:
        return {"charge_status": "reserved", "refund_status": "not_required", **reserved}
    if state.status == "completed":
        return {
            "charge_status": "charged",
            "refund_status": "not_required",
            **reserved,
            "charged_credits": quote.price,
        }
    return {
        "charge_status": "released",
        "refund_status": "completed",
        "refund_scope": "account_balance",
        **reserved,
        "charged_credits": 0,
        "refunded_credits": quote.reserved,
        "refunded_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _error(generation: Generation) -> dict[str, Any]:
    outcome = generation.outcome
    return {"code": outcome.error_code, "message": outcome.error_message, "type": "task_error"}
