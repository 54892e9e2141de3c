# SPDX-License-Identifier: Apache-2.0
"""A task that pays, what EvoLink made for it, and a worker that dies while it runs."""

from __future__ import annotations

from typing import Any

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from tests.task_harness import Store

TEXT = "gemini-omni-flash-text-to-video"


def operator(prompt: str = "A lighthouse", **kwargs: Any) -> EvoLinkGenerateOperator:
    """Return a short text-to-video task."""
    return EvoLinkGenerateOperator(
        task_id="task", model=TEXT, parameters={"prompt": prompt, "duration": 3}, **{"poll_interval": 1, **kwargs}
    )


def accepted(emulator: EmulatorHandle) -> list[dict[str, Any]]:
    """Return all generations that EvoLink has accepted."""
    generations: list[dict[str, Any]] = emulator.control.state()["generations"]
    return generations


class WorkerDied(BaseException):
    """A kill -9: nothing after it runs."""


class DyingStore(Store):
    """A store whose worker dies before or after its n-th write."""

    def __init__(self, write: int, *, after: bool) -> None:
        super().__init__()
        self.remaining, self.after = write, after

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Write, and die if this is the chosen write."""
        self.remaining -= 1
        if self.remaining == 0 and not self.after:
            raise WorkerDied
        super().set(key, value, retention=retention)
        if self.remaining == 0:
            raise WorkerDied
