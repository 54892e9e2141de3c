"""What the client sends again by itself, and what it never does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.api.calls import UNKNOWN_ID, Call, sent, submit

pytestmark = pytest.mark.usefixtures("no_pauses")


PASSING: list[tuple[str, dict[str, Any]]] = [
    ("rate_limit", {"retry_after": 0}),
    ("server_error", {"status": 500}),
    ("server_error", {"status": 503}),
    ("lost_reply", {}),
    ("connection_reset", {}),
    ("html_response", {}),
    ("html_response", {"status": 502}),
    ("malformed_json", {}),
]


@pytest.mark.parametrize(("fault", "options"), PASSING)
@pytest.mark.parametrize("endpoint", ["read", "batch", "credits"])
async def test_reading_is_repeated(
    patient: EvoLinkClient, evolink_emulator: EmulatorHandle, endpoint: str, fault: str, options: dict[str, Any]
) -> None:
    """A read that fails in passing three times is answered at the fourth."""
    made = (await submit(patient)).generation.id
    evolink_emulator.control.inject(fault, on=endpoint, times=3, **options)
    ask: dict[str, Call] = {
        "read": lambda client: client.generation(made),
        "batch": lambda client: client.generations([made]),
        "credits": lambda client: client.credits(),
    }

    assert await ask[endpoint](patient)

    assert sent(evolink_emulator)[endpoint] == 4


async def test_reading_is_not_repeated_without_end(patient: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """The fourth failure is the caller's."""
    evolink_emulator.control.inject("server_error", on="credits", times=None)

    with pytest.raises(errors.ServerError):
        await patient.credits()
    assert sent(evolink_emulator)["credits"] == 4


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
async def test_a_refused_read_is_not_repeated(
    patient: EvoLinkClient, evolink_emulator: EmulatorHandle, status: int
) -> None:
    """What would be refused again is asked once."""
    evolink_emulator.control.inject("http_error", on="read", times=None, status=status)

    with pytest.raises(errors.ApiError):
        await patient.generation(UNKNOWN_ID)
    assert sent(evolink_emulator)["read"] == 1


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        *((fault, options) for fault, options in PASSING if fault != "rate_limit"),
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
async def test_a_submission_is_never_repeated(
    patient: EvoLinkClient, evolink_emulator: EmulatorHandle, fault: str, options: dict[str, Any]
) -> None:
    """Whatever came of a submission, only the ledger may send it again."""
    evolink_emulator.control.inject(fault, on="submit", times=None, **options)

    with pytest.raises(errors.EvoLinkError):
        await submit(patient)
    assert sent(evolink_emulator)["submit"] == 1


async def test_a_submission_that_never_left_is_the_callers_to_repeat(unused_tcp_port: int) -> None:
    """Where nobody listens nothing is paid; that is said, and the submission is not sent again unasked."""
    settings = Settings(base_url=f"http://127.0.0.1:{unused_tcp_port}", api_key="sk-planted-key-4711")
    pauses: list[int] = []
    async with EvoLinkClient(settings, attempts=4) as client:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: pauses.append(1) or 0.0)
            with pytest.raises(errors.NotSentError, match=r"never left.*retry is safe"):
                await submit(client)
    assert pauses == []


async def test_retry_after_is_obeyed(patient: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """The server's own figure counts, not ours."""
    evolink_emulator.control.inject("rate_limit", on="credits", retry_after=0.6)
    loop = asyncio.get_running_loop()
    began = loop.time()

    await patient.credits()

    assert 0.6 <= loop.time() - began < 5
