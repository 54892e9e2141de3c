# SPDX-License-Identifier: Apache-2.0
"""Pytest plugin with the fixture ``evolink_emulator``.

Pytest loads this module in every run of every project, so heavy imports happen where they are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_evolink.emulator.server import EmulatorHandle

CLOCK_OPTION = "evolink_emulator_clock"
DEFAULT_CLOCK = "120"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option for the speed of emulated time."""
    parser.addini(CLOCK_OPTION, "EvoLink emulator: emulated seconds per real second", default=DEFAULT_CLOCK)


@pytest.fixture(scope="session")
def _evolink_emulator_server(request: pytest.FixtureRequest) -> Iterator[EmulatorHandle]:
    from airflow_provider_evolink.emulator.server import running
    from airflow_provider_evolink.emulator.settings import Settings

    with running(Settings(clock=float(request.config.getini(CLOCK_OPTION)))) as emulator:
        yield emulator


@pytest.fixture
def evolink_emulator(_evolink_emulator_server: EmulatorHandle) -> EmulatorHandle:
    """A local EvoLink, reset for every test: ``url``, ``api_key``, ``airflow_connection`` and ``control``."""
    from airflow_provider_evolink.media.known_links import forget_links

    _evolink_emulator_server.control.reset()
    forget_links()  # the reset has deleted the uploaded files
    return _evolink_emulator_server
