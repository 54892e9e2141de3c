# SPDX-License-Identifier: Apache-2.0
"""The client's requests to each endpoint, and the exceptions that EvoLink's errors become."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink import __version__
from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.client import MAX_BATCH, EvoLinkClient, run
from airflow_provider_evolink.api.request import prepare
from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.api.calls import CALLS, KEY, TEXT, UNKNOWN_ID, sent, submit
from tests.loopback import always, serving, settings_for

pytestmark = pytest.mark.usefixtures("no_pauses")


# Requests


async def test_a_submission_is_parsed(client: EvoLinkClient) -> None:
    """An accepted submission has an id, an estimated time and reserved credits."""
    submission = await submit(client)

    assert submission.generation.id.startswith("task-unified-")
    assert submission.generation.status in {"pending", "processing"}
    assert submission.generation.usage.credits_reserved == pytest.approx(30.7, rel=0.01)
    assert submission.generation.estimated_time
    assert not submission.replayed


async def test_the_same_idempotency_key_and_body_are_recognized(
    client: EvoLinkClient, evolink_emulator: EmulatorHandle
) -> None:
    """A replay returns the first generation and is marked as one."""
    first = await submit(client)
    replay = await submit(client)

    assert (replay.generation.id, replay.replayed) == (first.generation.id, True)
    assert len(evolink_emulator.control.state()["generations"]) == 1


async def test_a_submissions_headers() -> None:
    """A submission has both idempotency headers and our user agent, and the API key in one header only."""
    with serving(always({"id": UNKNOWN_ID, "status": "pending"})) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            await submit(client)

    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/v1/videos/generations")
    assert request.headers["authorization"] == "Bearer sk-planted-key-4711"
    assert request.headers["idempotency-key"] == request.headers["x-evo-run-id"] == KEY
    assert request.headers["user-agent"] == f"airflow-provider-evolink/{__version__}"
    assert request.headers["content-type"] == "application/json"
    assert request.body == TEXT.body
    assert sum("planted" in text for text in [*request.headers.values(), request.target, request.body.decode()]) == 1


async def test_a_batch_returns_the_known_generations(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """One request reads many generations, without unknown ids and with duplicate ids once."""
    ids = [(await submit(client, f"{KEY}-{number}")).generation.id for number in range(3)]

    found = await client.generations([*ids, ids[0], UNKNOWN_ID])

    assert set(found) == set(ids)
    assert sent(evolink_emulator)["batch"] == 1
    with pytest.raises(errors.InvalidInputError, match=str(MAX_BATCH)):
        await client.generations(f"{UNKNOWN_ID}{number}" for number in range(51))


@pytest.mark.parametrize("generation_id", ["", "../v1/credits", "task-unified-1/../../x", "....", "a b c d", "x" * 129])
async def test_a_malformed_id_is_not_sent(
    client: EvoLinkClient, evolink_emulator: EmulatorHandle, generation_id: str
) -> None:
    """An id that could change the path is rejected before anything is sent."""
    for call in (client.generation(generation_id), client.generations([generation_id])):
        with pytest.raises(errors.InvalidInputError, match="generation_id"):
            await call
    assert sent(evolink_emulator)["total"] == 0


@pytest.mark.parametrize(
    ("name", "cost", "generation_id"),
    [("submit", "charged is unknown", None), ("read", "Reads are free", UNKNOWN_ID), ("credits", "free", None)],
)
async def test_an_invalid_body_is_a_complete_error(name: str, cost: str, generation_id: str | None) -> None:
    """JSON of the wrong shape is an error that says what it cost and what a retry does."""
    with serving(always({"unexpected": True})) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            with pytest.raises(errors.InvalidResponseError, match=rf"EvoLink's.*{cost}.*retry") as raised:
                await CALLS[name](client)

    assert raised.value.generation_id == generation_id


async def test_credits(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """The client reads the account's remaining credits with one request."""
    assert (await client.credits()).account_remaining == 1000
    assert sent(evolink_emulator)["credits"] == sent(evolink_emulator)["total"] == 1


# Errors

SUBMIT_ERRORS = [
    (400, errors.BadRequestError, "invalid_request", "Invalid request parameters", "invalid_request_error"),
    (401, errors.AuthenticationError, "unauthorized", "Invalid or expired token", "authentication_error"),
    (402, errors.InsufficientCreditsError, "insufficient_quota", "Insufficient quota.", "insufficient_quota"),
    (403, errors.AccessDeniedError, "model_access_denied", "Token does not have access", "invalid_request_error"),
    (404, errors.BadRequestError, "not_found", "Invalid URL", "invalid_request_error"),
    (409, errors.IdempotencyConflictError, "idempotency_conflict", "already used", "invalid_request_error"),
    (429, errors.RateLimitedError, "rate_limit_exceeded", "Too many requests", "rate_limit_error"),
    (500, errors.ServerError, "internal_error", "Internal server error", "api_error"),
]
READ_ERRORS = [
    (400, errors.BadRequestError, "invalid_task_id", "Invalid task ID format", "invalid_request_error"),
    (401, errors.AuthenticationError, "unauthorized", "Authentication required", "authentication_error"),
    (402, errors.InsufficientCreditsError, "quota_exceeded", "Insufficient quota.", "insufficient_quota"),
    (403, errors.AccessDeniedError, "permission_denied", "You don't have permission", "invalid_request_error"),
    (404, errors.GenerationNotFoundError, "task_not_found", "could not be found", "invalid_request_error"),
    (429, errors.RateLimitedError, "rate_limit_exceeded", "Rate limit exceeded", "evo_api_error"),
    (500, errors.ServerError, "internal_error", "Failed to retrieve task status", "api_error"),
]
CREDITS_ERRORS = [
    (401, errors.AuthenticationError, "401", "Invalid or expired token", "authentication_error"),
    (403, errors.AccessDeniedError, "403", "Access denied", "permission_error"),
    (429, errors.RateLimitedError, "429", "Rate limit exceeded", "rate_limit_error"),
    (500, errors.ServerError, "500", "Internal server error", "internal_server_error"),
]


@pytest.mark.parametrize(
    ("endpoint", "status", "error_class", "code", "message", "type_"),
    [
        *(("submit", *row) for row in SUBMIT_ERRORS),
        *(("read", *row) for row in READ_ERRORS),
        *(("credits", *row) for row in CREDITS_ERRORS),
    ],
)
async def test_each_documented_error(
    client: EvoLinkClient,
    evolink_emulator: EmulatorHandle,
    endpoint: str,
    status: int,
    error_class: type[errors.ApiError],
    code: str,
    message: str,
    type_: str,
) -> None:
    """Each documented error becomes its own exception, whose message has status, code, text and request id."""
    evolink_emulator.control.inject("http_error", on=endpoint, status=status)

    with pytest.raises(errors.ApiError) as caught:
        await CALLS[endpoint](client)

    error = caught.value
    assert type(error) is error_class
    assert (error.status, error.code, error.type) == (status, code, type_)
    assert error.detail
    assert message in error.detail
    assert error.request_id
    for part in (str(status), code, message, error.request_id, "retry"):
        assert part in str(error)
    assert error.generation_id == (UNKNOWN_ID if endpoint == "read" else None)


async def test_real_errors(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """A wrong API key, an empty account, an unknown id and an invalid value are rejected as documented."""
    wrong_settings = replace(client.settings, api_key="sk-wrong-key-1234")
    async with EvoLinkClient(wrong_settings) as wrong_client:
        with pytest.raises(errors.AuthenticationError, match="unauthorized"):
            await submit(wrong_client)
    with pytest.raises(errors.GenerationNotFoundError, match="task_not_found"):
        await client.generation(UNKNOWN_ID)
    with pytest.raises(errors.BadRequestError, match="duration"):
        await client.submit(
            TEXT.endpoint, b'{"model":"gemini-omni-flash-text-to-video","prompt":"x","duration":1}', KEY
        )
    evolink_emulator.control.add_credits(-1000)
    with pytest.raises(errors.InsufficientCreditsError, match="insufficient_quota"):
        await submit(client)


async def test_another_body_under_the_same_idempotency_key(
    client: EvoLinkClient, evolink_emulator: EmulatorHandle
) -> None:
    """An idempotency key of another request is a conflict and creates nothing."""
    await submit(client)
    other = prepare(TEXT.model, {"prompt": "A harbor", "duration": 3})

    with pytest.raises(errors.IdempotencyConflictError, match="idempotency_conflict"):
        await client.submit(other.endpoint, other.body, KEY)
    assert len(evolink_emulator.control.state()["generations"]) == 1


async def test_run_works_inside_a_loop(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """`run` works in a thread that already runs an event loop."""

    async def read_credits() -> Any:
        async with EvoLinkClient(settings_for(evolink_emulator)) as another_client:
            return await another_client.credits()

    assert run(read_credits).account_remaining == 1000
