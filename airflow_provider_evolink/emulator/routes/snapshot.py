# SPDX-License-Identifier: Apache-2.0
"""The backend as JSON values, as the control API shows it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow_provider_evolink.emulator.faults.kinds import ENDPOINTS
from airflow_provider_evolink.emulator.routes import responses
from airflow_provider_evolink.emulator.state.backend import Backend
from airflow_provider_evolink.emulator.state.generations import Generation, state_at


def snapshot(backend: Backend) -> dict[str, Any]:
    """Return the whole state of a backend."""
    backend.settle()
    requests = {name: backend.requests[name] for name in sorted(ENDPOINTS)}
    return {
        "clock": describe_clock(backend),
        "requests": {"total": backend.requests.total()} | requests,
        "rate_limited_queries": backend.query_limit.rejected,
        "api_key_leak_count": backend.api_key_leaks.found.total(),
        "api_key_leaks": dict(backend.api_key_leaks.found),
        "credits": describe_credits(backend),
        "variants": asdict(backend.variants),
        "generations": [_describe_generation(backend, generation) for generation in backend.generations.values()],
        "callbacks": [_describe_callback(backend, generation) for generation in backend.callbacks],
        "uploads": backend.uploads.describe(),
        "faults": backend.faults.describe(),
    }


def describe_clock(backend: Backend) -> dict[str, Any]:
    """Return the speed of emulated time, and the emulated seconds since the start."""
    return {"speed": backend.clock.speed, "now": round(backend.clock.now(), 3)}


def describe_credits(backend: Backend) -> dict[str, Any]:
    """Return the credits of the account."""
    backend.settle()
    return {name: getattr(backend.account, name) for name in ("balance", "reserved", "charged", "released")}


def _describe_generation(backend: Backend, generation: Generation) -> dict[str, Any]:
    state, spec = backend.state_of(generation), generation.spec
    return {
        "id": generation.id,
        "model": spec.model,
        "prompt": spec.prompt,
        "status": state.status,
        "progress": state.progress,
        "idempotency_key": spec.idempotency_key,
        "request_digest": spec.request_digest,
        "reserved": spec.quote.reserved,
        "charged": backend.charged(generation),
        "created": generation.created,
        "results": list(generation.result_urls) if state.status == "completed" else [],
    }


def _describe_callback(backend: Backend, generation: Generation) -> dict[str, Any]:
    state = state_at(generation, generation.ends_at)
    return {
        "url": generation.spec.callback_url,
        "body": responses.detail(generation, state, backend.clock.speed, backend.variants),
    }
