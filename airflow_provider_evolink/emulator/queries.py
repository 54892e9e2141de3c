# SPDX-License-Identifier: Apache-2.0
"""The endpoints that only tell: one generation, many, all, credits, models."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.emulator import answers
from airflow_provider_evolink.emulator.bodies import read_json
from airflow_provider_evolink.emulator.call import Call
from airflow_provider_evolink.emulator.refusals import RefusedError

MOST_IN_A_BATCH = 50
LARGEST_PAGE = 50
LISTABLE = ("processing", "completed", "failed", "cancelled")


async def read(call: Call) -> Response:
    """Tell how far a generation is (documented)."""
    task_id = call.request.path_params["task_id"]
    if not task_id.startswith("task-unified-"):
        raise RefusedError(400)
    if task_id not in call.world.jobs:
        raise RefusedError(404)
    return JSONResponse(_detail(call, task_id))


async def batch(call: Call) -> Response:
    """Tell how far up to 50 generations are; unknown ones are left out (undocumented; EvoLink's own clients)."""
    try:
        ids = read_json(await call.request.body())["task_ids"]
    except (ValueError, KeyError, TypeError):
        ids = None
    if not isinstance(ids, list) or not 0 < len(ids) <= MOST_IN_A_BATCH or not all(isinstance(i, str) for i in ids):
        message = f"task_ids must hold 1 to {MOST_IN_A_BATCH} task ids"
        raise RefusedError(400, code="invalid_request", message=message, param="task_ids")
    return JSONResponse({"data": [_detail(call, task_id) for task_id in ids if task_id in call.world.jobs]})


async def list_all(call: Call) -> Response:
    """List generations, newest first, without their links (undocumented; EvoLink's own clients)."""
    query, world = call.request.query_params, call.world
    status = query.get("status")
    if status is not None and status not in LISTABLE:
        message = f"status must be one of {', '.join(LISTABLE)}"
        raise RefusedError(400, code="invalid_request", message=message, param="status")
    page, size = _number(query.get("page"), 1), min(_number(query.get("page_size"), 20), LARGEST_PAGE)
    wanted = {name: query[name] for name in ("type", "model") if name in query}
    entries = [answers.listed(job, world.state(job)) for job in reversed(world.jobs.values())]
    found = [
        entry for entry in entries if status in (None, _listable(entry["status"])) and wanted.items() <= entry.items()
    ]
    first = (page - 1) * size
    return JSONResponse({"data": found[first : first + size], "total": len(found), "page": page, "page_size": size})


async def balance(call: Call) -> Response:
    """Tell the account's credits (documented)."""
    call.world.settle()
    return JSONResponse(answers.balance(call.world.account))


async def models(call: Call) -> Response:
    """List the models that the account may use."""
    denied = call.world.settings.denied_models
    return JSONResponse(answers.models([name for name in catalog.names() if name not in denied]))


def _detail(call: Call, task_id: str) -> dict[str, Any]:
    world = call.world
    world.settle()
    job = world.jobs[task_id]
    return answers.detail(job, world.state(job), world.clock.factor)


def _listable(status: str) -> str:
    return status if status in LISTABLE else "processing"


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 and int(text) > 0 else default
