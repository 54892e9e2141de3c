# SPDX-License-Identifier: Apache-2.0
"""Clients of the emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.loopback import settings_for


@pytest.fixture
async def client(evolink_emulator: EmulatorHandle) -> AsyncIterator[EvoLinkClient]:
    """A client of the emulator that sends everything once."""
    async with EvoLinkClient(settings_for(evolink_emulator)) as client:
        yield client


@pytest.fixture
async def retrying_client(evolink_emulator: EmulatorHandle) -> AsyncIterator[EvoLinkClient]:
    """A client of the emulator as the hook uses it: with up to four attempts."""
    async with EvoLinkClient(settings_for(evolink_emulator), attempts=4) as client:
        yield client
