# SPDX-License-Identifier: Apache-2.0
"""A small EvoLink, and a lookup that leads to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loopback import serving
from tests.polling.waiters import Lookup, Service


@pytest.fixture
def service() -> Iterator[Service]:
    """A running service."""
    running = Service()
    with serving(running.respond) as server:
        running.server = server
        yield running


@pytest.fixture
def lookup(service: Service) -> Lookup:
    """A lookup that leads to the service."""
    return Lookup(service.server.url)
