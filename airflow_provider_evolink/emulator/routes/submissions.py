# SPDX-License-Identifier: Apache-2.0
"""POST /v1/{videos,images,audios}/generations: the endpoint that costs money."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response

from airflow_provider_evolink.api.request import MAX_BODY_BYTES
from airflow_provider_evolink.emulator.errors import ApiError
from airflow_provider_evolink.emulator.routes import responses, submission_parser
from airflow_provider_evolink.emulator.routes.context import RequestContext
from airflow_provider_evolink.emulator.routes.downloads import fetch_own_link
from airflow_provider_evolink.emulator.state import idempotency
from airflow_provider_evolink.emulator.state.backend import Backend
from airflow_provider_evolink.emulator.state.generations import Generation
from airflow_provider_evolink.emulator.state.outcomes import plan_outcome

KINDS = {f"/v1/{kind}s/generations": kind for kind in ("video", "image", "audio")}


async def submit(context: RequestContext) -> Response:
    """Accept a generation, or replay the response to the same request with the same idempotency key."""
    request, backend = context.request, context.backend
    if int(request.headers.get("content-length") or 0) > MAX_BODY_BYTES:
        raise ApiError(413)
    body = await request.body()
    digest = submission_parser.digest(request.url.path, body)
    key = request.headers.get("idempotency-key")
    if key is not None and (replay := _replay(backend, key, digest)) is not None:
        return JSONResponse(replay, headers={"idempotency-replayed": "true"})
    with backend.idempotency_keys.claim(key, digest) as claim:
        generation = await _accept(context, body, key)
        backend.settle()
        state = backend.state_of(generation)
        claim.response = responses.detail(generation, state, backend.clock.speed, backend.variants)
    return JSONResponse(claim.response)


def _replay(backend: Backend, key: str, digest: str) -> idempotency.ResponseBody | None:
    if not idempotency.is_valid(key):
        message = "Idempotency-Key must be 16 to 96 characters of A-Z a-z 0-9 . _ -"
        raise ApiError(400, message=message, param="Idempotency-Key")
    try:
        return backend.idempotency_keys.replay(key, digest)
    except idempotency.IdempotencyConflictError:
        raise ApiError(409) from None
    except idempotency.RequestPendingError:
        message = "The request that used this Idempotency-Key first is still being processed"
        raise ApiError(409, code="paid_outcome_unknown", message=message) from None


async def _accept(context: RequestContext, body: bytes, key: str | None) -> Generation:
    backend, path = context.backend, context.request.url.path
    payload = submission_parser.parse(body)
    submission_parser.validate(payload, path)
    _check_access(backend, payload)
    await _delay_acceptance(backend)
    fetch = functools.partial(fetch_own_link, context)
    image, is_image_readable = await submission_parser.load_source_image(payload, fetch, context.renderer.load_image)
    digest = submission_parser.digest(path, body)
    spec = submission_parser.build_spec(
        payload, KINDS[path], image, idempotency_key=key, request_digest=digest, origin=context.origin
    )
    spec = replace(spec, quote=spec.quote.charged_by(backend.variants.charge_factor))
    if spec.quote.reserved > backend.account.balance:
        raise ApiError(402)
    fault, status = backend.faults.fire("submit", "generation"), backend.variants.created_status_of(spec.model)
    return backend.accept(spec, plan_outcome(fault, status, is_image_readable=is_image_readable))


def _check_access(backend: Backend, payload: dict[str, Any]) -> None:
    if payload["model"] in backend.settings.denied_models:
        raise ApiError(403, message=f"Token does not have access to model: {payload['model']}")


async def _delay_acceptance(backend: Backend) -> None:
    if fault := backend.faults.fire("submit", "acceptance"):
        await asyncio.sleep(fault.options["seconds"])
