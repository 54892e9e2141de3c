from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loopback import serving
from tests.polling.waiters import Lookup, Service


@pytest.fixture
def service() -> Iterator[Service]:
    """A running service."""
    running = Service()
    with serving(running.answer) as server:
        running.server = server
        yield running


@pytest.fixture
def lookup(service: Service) -> Lookup:
    """A look-up that leads to the service."""
    return Lookup(service.server.url)
