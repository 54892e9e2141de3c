# SPDX-License-Identifier: Apache-2.0
"""Remote control of a running emulator, for tests."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx


class ControlError(Exception):
    """The emulator refused what it was told."""


class Control:
    """Switches an emulator's faults, and shows what happened.

    :param url: where the emulator listens.
    """

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=f"{url}/_emulator", timeout=30, trust_env=False)

    def inject(
        self,
        fault: str,
        on: str = "any",
        times: int | None = 1,
        *,
        after: int = 0,
        chance: float = 1.0,
        **options: Any,
    ) -> dict[str, Any]:
        """Switch a fault on.

        :param fault: its name.
        :param on: `submit`, `read`, `batch`, `list`, `credits`, `models`, `media`, `upload`, `quota`; `any` for all
            that the fault can strike at.
        :param times: how often it strikes; None until reset.
        :param after: how many matching requests pass first.
        :param chance: of striking at each request after that; the emulator's seed makes it repeatable.
        :param options: what the fault can be told, such as `retry_after=2`.
        :return: the fault, with all its options.
        :raises ControlError: there is no such fault, or not there, or not with this option.
        """
        wanted = {"fault": fault, "on": on, "times": times, "after": after, "chance": chance, "options": options}
        return self._call("POST", "/faults", wanted)

    def state(self) -> dict[str, Any]:
        """Return everything the emulator knows: clock, requests, credits, generations, callbacks, uploads, faults.

        `leaked_keys` counts how often an API key was where it has no business, `leaks` does so by place.
        """
        return self._call("GET", "/state")

    def reset(self) -> None:
        """Make the emulator forget everything, faults included."""
        self._call("POST", "/reset", {})

    def run_at(self, factor: float) -> None:
        """Change the pace of emulated time.

        :param factor: emulated seconds that pass in one second.
        """
        self._call("POST", "/clock", {"factor": factor})

    def advance(self, seconds: float) -> None:
        """Let emulated time pass at once.

        :param seconds: emulated seconds.
        """
        self._call("POST", "/clock", {"advance": seconds})

    def set_link_life(self, seconds: float | None) -> None:
        """Let all result links die this long after their generation completed.

        :param seconds: real seconds, 0 for at once; None for what is documented.
        """
        self._call("POST", "/settings", {"link_life": seconds})

    def limit_queries(self, per_minute: int | None) -> None:
        """Let each key ask about generations so often in an emulated minute, from now on.

        A query too many is answered as documented: 429 with `Retry-After`, in real seconds. One generation and a batch
        count alike. `state()["limited_queries"]` tells how many were.

        :param per_minute: requests; None for no limit.
        """
        self._call("POST", "/settings", {"query_limit": per_minute})

    def add_credits(self, amount: float) -> None:
        """Top the account up.

        :param amount: credits; negative to take away.
        """
        self._call("POST", "/settings", {"credits": amount})

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self._client.request(method, path, json=body)
        answer: dict[str, Any] = response.json()
        if response.is_error:
            raise ControlError(str(answer.get("error")))
        return answer
