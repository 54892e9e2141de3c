# SPDX-License-Identifier: Apache-2.0
"""What a handler gets to respond to a request."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from airflow_provider_evolink.emulator.media.render_pool import RenderPool
from airflow_provider_evolink.emulator.state.backend import Backend


@dataclass(frozen=True)
class RequestContext:
    """One request and the state it applies to.

    :param request: the request.
    :param backend: state of the emulator.
    :param renderer: renders files.
    """

    request: Request
    backend: Backend
    renderer: RenderPool

    @property
    def origin(self) -> str:
        """Scheme, host and port that the client uses for the emulator."""
        return str(self.request.base_url).rstrip("/")
