# SPDX-License-Identifier: Apache-2.0
"""The read-only endpoints: one generation, a batch, the list, credits and models."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.emulator.errors import ApiError
from airflow_provider_evolink.emulator.routes import paging, responses
from airflow_provider_evolink.emulator.routes.context import RequestContext
from airflow_provider_evolink.emulator.routes.request_body import parse_json

MAX_BATCH_SIZE = 50
MAX_PAGE_SIZE = 50
LISTABLE_STATUSES = ("processing", "completed", "failed", "cancelled")


async def get_generation(context: RequestContext) -> Response:
    """Return the state of a generation (documented)."""
    task_id = context.request.path_params["task_id"]
    if not task_id.startswith("task-unified-"):
        raise ApiError(400)
    if task_id not in context.backend.generations:
        raise ApiError(404)
    return JSONResponse(_detail(context, task_id))


async def get_batch(context: RequestContext) -> Response:
    """Return the states of up to 50 generations, without unknown ones (undocumented; from EvoLink's clients)."""
    try:
        ids = parse_json(await context.request.body())["task_ids"]
    except (ValueError, KeyError, TypeError):
        ids = None
    if not isinstance(ids, list) or not 0 < len(ids) <= MAX_BATCH_SIZE or not all(isinstance(i, str) for i in ids):
        message = f"task_ids must hold 1 to {MAX_BATCH_SIZE} task ids"
        raise ApiError(400, code="invalid_request", message=message, param="task_ids")
    known = [task_id for task_id in ids if task_id in context.backend.generations]
    return JSONResponse({"data": [_detail(context, task_id) for task_id in known]})


async def list_generations(context: RequestContext) -> Response:
    """List generations, newest first, without their links (undocumented; from EvoLink's clients)."""
    query, backend = context.request.query_params, context.backend
    status = query.get("status")
    if status is not None and status not in LISTABLE_STATUSES:
        message = f"status must be one of {', '.join(LISTABLE_STATUSES)}"
        raise ApiError(400, code="invalid_request", message=message, param="status")
    page, size = paging.page_of(query, "page_size", MAX_PAGE_SIZE)
    filters = {name: query[name] for name in ("type", "model") if name in query}
    newest_first = reversed(backend.generations.values())
    speed = backend.clock.speed
    entries = [responses.list_entry(generation, backend.state_of(generation), speed) for generation in newest_first]
    found = [
        entry
        for entry in entries
        if status in (None, _listed_status(entry["status"])) and filters.items() <= entry.items()
    ]
    entries_of_page = paging.select(found, page, size)
    return JSONResponse({"data": entries_of_page, "total": len(found), "page": page, "page_size": size})


async def get_credits(context: RequestContext) -> Response:
    """Return the account's credits (documented)."""
    backend = context.backend
    backend.settle()
    return JSONResponse(responses.account_credits(backend.account, is_unlimited=backend.variants.unlimited_credits))


async def list_models(context: RequestContext) -> Response:
    """List the models that the account may use, also under their older names; unlisted ones are accepted, too."""
    denied = context.backend.settings.denied_models
    accepted = [name for model in map(catalog.find, catalog.names()) if model for name in (model.name, *model.aliases)]
    return JSONResponse(responses.models([name for name in accepted if name not in denied]))


def _detail(context: RequestContext, task_id: str) -> dict[str, Any]:
    backend = context.backend
    backend.settle()
    generation = backend.generations[task_id]
    return responses.detail(generation, backend.state_of(generation), backend.clock.speed, backend.variants)


def _listed_status(status: str) -> str:
    return status if status in LISTABLE_STATUSES else "processing"
