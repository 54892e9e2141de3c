# SPDX-License-Identifier: Apache-2.0
"""What a handler gets to answer a request."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from airflow_provider_evolink.emulator.studio import Studio
from airflow_provider_evolink.emulator.world import World


@dataclass(frozen=True)
class Call:
    """One request, and what it is about.

    :param request: as it came.
    :param world: what the emulator remembers.
    :param studio: renders files.
    """

    request: Request
    world: World
    studio: Studio

    @property
    def origin(self) -> str:
        """Scheme, host and port under which the client knows the emulator."""
        return str(self.request.base_url).rstrip("/")
