# SPDX-License-Identifier: Apache-2.0
"""Which requests the client retries on its own, and which it never does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.api.calls import UNKNOWN_ID, ClientCall, sent, submit

pytestmark = pytest.mark.usefixtures("no_pauses")


TRANSIENT_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("rate_limit", {"retry_after": 0}),
    ("server_error", {"status": 500}),
    ("server_error", {"status": 503}),
    ("lost_response", {}),
    ("connection_reset", {}),
    ("html_response", {}),
    ("html_response", {"status": 502}),
    ("malformed_json", {}),
]


@pytest.mark.parametrize(("fault", "options"), TRANSIENT_FAULTS)
@pytest.mark.parametrize("endpoint", ["read", "batch", "credits"])
async def test_reads_are_retried(
    retrying_client: EvoLinkClient, evolink_emulator: EmulatorHandle, endpoint: str, fault: str, options: dict[str, Any]
) -> None:
    """A read that fails transiently three times succeeds at the fourth attempt."""
    generation_id = (await submit(retrying_client)).generation.id
    evolink_emulator.control.inject(fault, on=endpoint, times=3, **options)
    calls: dict[str, ClientCall] = {
        "read": lambda client: client.generation(generation_id),
        "batch": lambda client: client.generations([generation_id]),
        "credits": lambda client: client.credits(),
    }

    assert await calls[endpoint](retrying_client)

    assert sent(evolink_emulator)[endpoint] == 4


async def test_retries_of_reads_are_limited(retrying_client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """The fourth failure is raised."""
    evolink_emulator.control.inject("server_error", on="credits", times=None)

    with pytest.raises(errors.ServerError):
        await retrying_client.credits()
    assert sent(evolink_emulator)["credits"] == 4


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
async def test_a_rejected_read_is_not_retried(
    retrying_client: EvoLinkClient, evolink_emulator: EmulatorHandle, status: int
) -> None:
    """A read that would be rejected again is sent once."""
    evolink_emulator.control.inject("http_error", on="read", times=None, status=status)

    with pytest.raises(errors.ApiError):
        await retrying_client.generation(UNKNOWN_ID)
    assert sent(evolink_emulator)["read"] == 1


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        *((fault, options) for fault, options in TRANSIENT_FAULTS if fault != "rate_limit"),
        ("http_error", {"status": 400}),
        ("http_error", {"status": 401}),
        ("http_error", {"status": 402}),
        ("http_error", {"status": 403}),
        ("http_error", {"status": 409}),
        ("redirect", {"status": 307}),
        ("unexpected_json", {}),
        ("rate_limit", {"retry_after": 0}),
    ],
)
async def test_a_submission_is_never_retried(
    retrying_client: EvoLinkClient, evolink_emulator: EmulatorHandle, fault: str, options: dict[str, Any]
) -> None:
    """A submission is sent once, however it fails: repeating it is up to the owner of the ledger."""
    evolink_emulator.control.inject(fault, on="submit", times=None, **options)

    with pytest.raises(errors.EvoLinkError):
        await submit(retrying_client)
    assert sent(evolink_emulator)["submit"] == 1


async def test_a_submission_that_never_left_is_not_retried(unused_tcp_port: int) -> None:
    """A refused connection is reported as free and safe to retry, and the client does not retry it."""
    settings = Settings(base_url=f"http://127.0.0.1:{unused_tcp_port}", api_key="sk-planted-key-4711")
    pauses: list[int] = []
    async with EvoLinkClient(settings, attempts=4) as client:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: pauses.append(1) or 0.0)
            with pytest.raises(errors.NotSentError, match=r"never left.*Nothing was charged.*retry is safe"):
                await submit(client)
    assert pauses == []


async def test_retry_after_is_honored(retrying_client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """The server's delay takes precedence over ours."""
    evolink_emulator.control.inject("rate_limit", on="credits", retry_after=0.6)
    loop = asyncio.get_running_loop()
    start = loop.time()

    await retrying_client.credits()

    assert 0.6 <= loop.time() - start < 5
