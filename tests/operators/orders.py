"""The task that the tests of paying play, what EvoLink has made for it, and a worker that dies at it."""

from __future__ import annotations

from typing import Any

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from tests.task_harness import Store

TEXT = "gemini-omni-flash-text-to-video"


def operator(prompt: str = "A lighthouse", **kwargs: Any) -> EvoLinkGenerateOperator:
    """A short text-to-video task."""
    return EvoLinkGenerateOperator(
        task_id="task", model=TEXT, parameters={"prompt": prompt, "duration": 3}, **{"poll_interval": 1, **kwargs}
    )


def made(emulator: EmulatorHandle) -> list[dict[str, Any]]:
    """All generations that EvoLink has accepted."""
    generations: list[dict[str, Any]] = emulator.control.state()["generations"]
    return generations


class WorkerDied(BaseException):
    """A kill -9, as far as Python can play it: nothing after it runs."""


class DyingStore(Store):
    """A store whose worker dies around its n-th write."""

    def __init__(self, write: int, *, after: bool) -> None:
        super().__init__()
        self.left, self.after = write, after

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Die before or after the write whose turn it is."""
        self.left -= 1
        if self.left == 0 and not self.after:
            raise WorkerDied
        super().set(key, value, retention=retention)
        if self.left == 0:
            raise WorkerDied
