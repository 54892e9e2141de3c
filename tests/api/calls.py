# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of the client: a submission, ids, and calls of the client by endpoint."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Awaitable, Callable
from typing import Any

from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.files import OutgoingFile
from airflow_provider_evolink.api.generation import Submission
from airflow_provider_evolink.api.request import prepare
from airflow_provider_evolink.emulator.server import EmulatorHandle
from testkit.examples import GENERATION_ID

KEY = "airflow-0123456789abcdef"
TEXT = prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})
UNKNOWN_ID = GENERATION_ID
CREDITS = {"data": {"token": {"unlimited_credits": True}, "user": {"remaining_credits": 7}}, "success": True}

ClientCall = Callable[[EvoLinkClient], Awaitable[Any]]


async def submit(client: EvoLinkClient, key: str = KEY) -> Submission:
    """Submit a short video."""
    return await client.submit(TEXT.endpoint, TEXT.body, key)


def png(content: bytes = b"\x89PNG") -> OutgoingFile:
    """Return a picture to upload."""
    return OutgoingFile("a.png", io.BytesIO(content), len(content), "image/png", hashlib.sha256(content).hexdigest())


def sent(emulator: EmulatorHandle) -> dict[str, int]:
    """Return the number of requests by endpoint."""
    counts: dict[str, int] = emulator.control.state()["requests"]
    return counts


CALLS: dict[str, ClientCall] = {
    "submit": submit,
    "read": lambda client: client.generation(UNKNOWN_ID),
    "credits": lambda client: client.credits(),
}
