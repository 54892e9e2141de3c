# SPDX-License-Identifier: Apache-2.0
"""POST /v1/{videos,images,audios}/generations: the endpoint that costs money."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from starlette.responses import JSONResponse, Response

from airflow_provider_evolink.api.request import MAX_BODY_BYTES
from airflow_provider_evolink.emulator import answers, idempotency, orders
from airflow_provider_evolink.emulator.call import Call
from airflow_provider_evolink.emulator.downloads import fetch_own
from airflow_provider_evolink.emulator.jobs import Job
from airflow_provider_evolink.emulator.refusals import RefusedError
from airflow_provider_evolink.emulator.world import World

KINDS = {f"/v1/{kind}s/generations": kind for kind in ("video", "image", "audio")}


async def submit(call: Call) -> Response:
    """Accept a generation, or replay the answer to the same request with the same key."""
    request, world = call.request, call.world
    if int(request.headers.get("content-length") or 0) > MAX_BODY_BYTES:
        raise RefusedError(413)
    body = await request.body()
    digest = orders.digest(request.url.path, body)
    key = request.headers.get("idempotency-key")
    if key is not None and (replay := _recall(world, key, digest)) is not None:
        return JSONResponse(replay, headers={"idempotency-replayed": "true"})
    with world.keys.claim(key, digest) as claim:
        job = await _accept(call, body, key)
        claim.answer = answers.created(job, world.clock.factor)
    return JSONResponse(claim.answer)


def _recall(world: World, key: str, digest: str) -> idempotency.Answer | None:
    if not idempotency.is_valid(key):
        message = "Idempotency-Key must be 16 to 96 characters of A-Z a-z 0-9 . _ -"
        raise RefusedError(400, message=message, param="Idempotency-Key")
    try:
        return world.keys.recall(key, digest)
    except idempotency.KeyConflictError:
        raise RefusedError(409) from None
    except idempotency.KeyBusyError:
        message = "The request that used this Idempotency-Key first is still being processed"
        raise RefusedError(409, code="paid_outcome_unknown", message=message) from None


async def _accept(call: Call, body: bytes, key: str | None) -> Job:
    world, path = call.world, call.request.url.path
    payload = orders.parse(body)
    orders.check(payload, path)
    _check_access(world, payload)
    await _wait_if_slow(world)
    picture, is_readable = await orders.first_picture(payload, functools.partial(fetch_own, call), call.studio.inspect)
    digest = orders.digest(path, body)
    order = orders.order(payload, KINDS[path], picture, key=key, request_digest=digest, origin=call.origin)
    if order.quote.reserved > world.account.balance:
        raise RefusedError(402)
    destiny = orders.destiny(world.faults.take("submit", "generation"), is_readable)
    return world.accept(order, destiny)


def _check_access(world: World, payload: dict[str, Any]) -> None:
    if payload["model"] in world.settings.denied_models:
        raise RefusedError(403, message=f"Token does not have access to model: {payload['model']}")


async def _wait_if_slow(world: World) -> None:
    if fault := world.faults.take("submit", "acceptance"):
        await asyncio.sleep(fault.options["seconds"])
