from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loopback import serving
from tests.polling.waiters import Lookup, Service


@pytest.fixture
def service() -> Iterator[Service]:
    """A running service."""
    one = Service()
    with serving(one.answer) as server:
        one.server = server
        yield one


@pytest.fixture
def lookup(service: Service) -> Lookup:
    """Finds the service."""
    return Lookup(service.server.url)
