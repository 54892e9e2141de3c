# SPDX-License-Identifier: Apache-2.0
"""The documented bodies of answers. Pure: built from a generation, its state and the time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from airflow_provider_evolink.emulator.accounts import Account
from airflow_provider_evolink.emulator.jobs import Job, State

USER_GROUP = "default"
FILELESS = {
    "kling-custom-element": "element_id",
    "suno-persona": "persona_id",
    "qwen-voice-design": "voice",
}


def created(job: Job, pace: float) -> dict[str, Any]:
    """Build the answer to a submission (documented).

    :param job: the generation that was accepted.
    :param pace: emulated seconds that pass in one second; the estimate is in the client's seconds.
    """
    return _head(job, State("pending", 0)) | {
        "task_info": {"can_cancel": True, "estimated_time": _estimate(job, pace)},
        "usage": _reservation(job),
    }


def detail(job: Job, state: State, pace: float = 1.0) -> dict[str, Any]:
    """Build the answer about one generation (documented; `usage` as seen in real answers).

    :param job: the generation.
    :param state: how far it is.
    :param pace: emulated seconds that pass in one second.
    """
    body = _head(job, state)
    if state.status == "completed":
        return body | {"task_info": {"can_cancel": False}, **_delivery(job), "usage": _charge(job)}
    if state.status == "failed":
        return body | {"task_info": {"can_cancel": False}, "error": _error(job)}
    if state.is_terminal:
        return body | {"task_info": {"can_cancel": False}}
    return body | {
        "task_info": {"can_cancel": True, "estimated_time": _estimate(job, pace)},
        "usage": _reservation(job),
    }


def listed(job: Job, state: State) -> dict[str, Any]:
    """Build a generation's entry in the list of all (undocumented; as EvoLink's own clients read it)."""
    completed = state.status == "completed"
    return {
        "id": job.id,
        "model": job.order.model,
        "type": job.order.kind,
        "status": state.status,
        "progress": state.progress,
        "created_at": job.created,
        "has_results": completed,
        "result_count": len(job.order.artifacts) if completed else 0,
        "has_error": state.status == "failed",
        **({"credits_used": job.order.quote.price} if completed else {}),
    }


def balance(account: Account) -> dict[str, Any]:
    """Build the answer about an account's credits (documented)."""
    left = {"remaining_credits": account.balance, "used_credits": account.charged}
    data = {"token": {**left, "unlimited_credits": False}, "user": left}
    return {"data": data, "message": "", "success": True}


def models(names: Sequence[str]) -> dict[str, Any]:
    """Build the list of models (documented in the ComfyUI guide only)."""
    return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}


def _head(job: Job, state: State) -> dict[str, Any]:
    return {
        "created": job.created,
        "id": job.id,
        "model": job.order.model,
        "object": f"{job.order.kind}.generation.task",
        "progress": state.progress,
        "status": state.status,
        "type": job.order.kind,
    }


def _estimate(job: Job, pace: float) -> int:
    return max(1, math.ceil(job.order.estimated_seconds / pace))


def _reservation(job: Job) -> dict[str, Any]:
    quote = job.order.quote
    return {"billing_rule": quote.rule, "credits_reserved": quote.reserved, "user_group": USER_GROUP}


def _charge(job: Job) -> dict[str, Any]:
    return {"credits_used": job.order.quote.price}


def _error(job: Job) -> dict[str, Any]:
    return {"code": job.destiny.error_code, "message": job.destiny.error_message, "type": "task_error"}


def _delivery(job: Job) -> dict[str, Any]:
    if job.destiny.delivers == "nothing":
        return {}
    if job.order.model in FILELESS:
        return {"result_data": {FILELESS[job.order.model]: f"{job.order.model}-{job.secret[:12]}"}}
    if job.destiny.delivers == "result_data":
        return {"result_data": [{"url": link} for link in job.links]}
    if job.order.model.startswith("suno-v"):
        return {"results": list(job.links), "result_data": {"songs": _songs(job)}}
    return {"results": list(job.links)}


def _songs(job: Job) -> list[dict[str, Any]]:
    return [
        {"result_id": f"{job.secret[:8]}-{number}", "title": "Untitled", "duration": file.seconds, "audio_url": link}
        for number, (file, link) in enumerate(zip(job.order.artifacts, job.links, strict=True))
    ]
