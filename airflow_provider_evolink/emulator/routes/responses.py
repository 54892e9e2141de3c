# SPDX-License-Identifier: Apache-2.0
"""Documented response bodies. Pure: functions of a generation, its state and the clock's speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from airflow_provider_evolink.emulator.state.account import Account
from airflow_provider_evolink.emulator.state.generations import Generation, GenerationState

USER_GROUP = "default"
# Models that deliver an id instead of a file, with the field that has it.
ID_FIELDS = {
    "kling-custom-element": "element_id",
    "suno-persona": "persona_id",
    "qwen-voice-design": "voice",
}


def accepted(generation: Generation, speed: float) -> dict[str, Any]:
    """Build the response to a submission (documented).

    :param generation: the accepted generation.
    :param speed: emulated seconds per real second; the estimate is in real seconds.
    """
    return _head(generation, GenerationState("pending", 0)) | {
        "task_info": {"can_cancel": True, "estimated_time": _estimate(generation, speed)},
        "usage": _reservation(generation),
    }


def detail(generation: Generation, state: GenerationState, speed: float = 1.0) -> dict[str, Any]:
    """Build the response to a query for one generation (documented; ``usage`` as observed in real responses).

    :param generation: the generation.
    :param state: its state.
    :param speed: emulated seconds per real second.
    """
    body = _head(generation, state)
    if state.status == "completed":
        return body | {"task_info": {"can_cancel": False}, **_delivery(generation), "usage": _charge(generation)}
    if state.status == "failed":
        return body | {"task_info": {"can_cancel": False}, "error": _error(generation)}
    if state.is_terminal:
        return body | {"task_info": {"can_cancel": False}}
    return body | {
        "task_info": {"can_cancel": True, "estimated_time": _estimate(generation, speed)},
        "usage": _reservation(generation),
    }


def list_entry(generation: Generation, state: GenerationState) -> dict[str, Any]:
    """Build the entry of a generation in the list (undocumented; the fields that EvoLink's own clients read)."""
    completed = state.status == "completed"
    return {
        "id": generation.id,
        "model": generation.spec.model,
        "type": generation.spec.kind,
        "status": state.status,
        "progress": state.progress,
        "created_at": generation.created,
        "has_results": completed,
        "result_count": len(generation.spec.artifacts) if completed else 0,
        "has_error": state.status == "failed",
        **({"credits_used": generation.spec.quote.price} if completed else {}),
    }


def account_credits(account: Account) -> dict[str, Any]:
    """Build the response to a query for credits (documented)."""
    balance = {"remaining_credits": account.balance, "used_credits": account.charged}
    data = {"token": {**balance, "unlimited_credits": False}, "user": balance}
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


def _reservation(generation: Generation) -> dict[str, Any]:
    quote = generation.spec.quote
    return {"billing_rule": quote.rule, "credits_reserved": quote.reserved, "user_group": USER_GROUP}


def _charge(generation: Generation) -> dict[str, Any]:
    return {"credits_used": generation.spec.quote.price}


def _error(generation: Generation) -> dict[str, Any]:
    outcome = generation.outcome
    return {"code": outcome.error_code, "message": outcome.error_message, "type": "task_error"}


def _delivery(generation: Generation) -> dict[str, Any]:
    model, links = generation.spec.model, generation.result_urls
    if generation.outcome.delivery == "nothing":
        return {}
    if model in ID_FIELDS:
        return {"result_data": {ID_FIELDS[model]: f"{model}-{generation.secret[:12]}"}}
    if generation.outcome.delivery == "result_data":
        return {"result_data": [{"url": link} for link in links]}
    if model.startswith("suno-v"):
        return {"results": list(links), "result_data": {"songs": _songs(generation)}}
    return {"results": list(links)}


def _songs(generation: Generation) -> list[dict[str, Any]]:
    return [
        {
            "result_id": f"{generation.secret[:8]}-{number}",
            "title": "Untitled",
            "duration": artifact.seconds,
            "audio_url": link,
        }
        for number, (artifact, link) in enumerate(zip(generation.spec.artifacts, generation.result_urls, strict=True))
    ]
