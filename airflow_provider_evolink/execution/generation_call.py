# SPDX-License-Identifier: Apache-2.0
"""What the calls of ``EvoLinkHook.generate`` and ``wait`` share: they run in a task or outside, blocking or awaited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import EvoLinkError
from airflow_provider_evolink.api.event_loop import in_daemon_thread
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.compat import forward_kills
from airflow_provider_evolink.execution.calling_task import CallingTask
from airflow_provider_evolink.execution.generation_wait import GenerationWait
from airflow_provider_evolink.execution.pending import KeepWaiting
from airflow_provider_evolink.execution.reports import interrupted_outside_task, killed, name_call_outside_task
from airflow_provider_evolink.submission.record import LedgerRecord

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.api.settings import Settings
    from airflow_provider_evolink.execution.account import Account
    from airflow_provider_evolink.types import GenerationRecord


@dataclass(frozen=True, slots=True)
class Connected:
    """An account, and how to look it up again.

    :param account: as the caller has it; it pays.
    :param reopen: makes the account of the connection as it is now: it may be fixed while reads fail.
    :param look_up: looks that connection up; blocks.
    """

    account: Account
    reopen: Callable[[], Account]
    look_up: Callable[[], Settings]


class GenerationCall(GenerationWait):
    """A call that returns the record of a generation.

    :param connected: the account.
    :param task: where it runs.
    :param timeout: seconds (or a ``timedelta``) to wait.
    :param poll_interval: seconds between two polls; ``None`` = adaptive.
    """

    # Airflow itself enforces it while a worker runs.
    execution_timeout = None

    def __init__(
        self, connected: Connected, task: CallingTask, *, timeout: float | timedelta | None, poll_interval: float | None
    ) -> None:
        self._connected = connected
        self._account = connected.account
        self._task = task
        self._context: Context = task.context
        self.evolink_conn_id = self._account.evolink_conn_id
        self.timeout: Any = timeout
        self.poll_interval = poll_interval
        self.log = self._account.log
        self._was_killed = False
        self._paid: LedgerRecord | None = None

    def run(self) -> GenerationRecord:
        """Carry the call out; blocks."""
        with self._running():
            outcome = self._start()
            if isinstance(outcome, KeepWaiting):
                return self._wait_on_worker(self._context, outcome.pending)
            return outcome

    async def run_async(self) -> GenerationRecord:
        """Carry the call out without blocking the event loop."""
        with self._running():
            outcome = await in_daemon_thread(self._start)
            if isinstance(outcome, KeepWaiting):
                return await self._wait_in_event_loop(self._context, outcome.pending)
            return outcome

    def on_kill(self) -> None:
        """Send nothing more, and log what stays paid for."""
        self._was_killed = True
        text = killed if self._task.is_task else interrupted_outside_task
        self.log.warning("%s", text(self._paid, self.evolink_conn_id))

    def _start(self) -> GenerationRecord | KeepWaiting:
        """Do what comes before the wait."""
        raise NotImplementedError

    @contextmanager
    def _running(self) -> Iterator[None]:
        with forward_kills(self, self._context):
            try:
                yield
            except EvoLinkError as error:
                error.complete(self._known())
                if not self._task.is_task:
                    name_call_outside_task(error, self.evolink_conn_id)
                raise
            except BaseException as error:
                # An execution_timeout, or a cancelled call: Airflow's own on_kill comes too late to reach this one.
                if not isinstance(error, Exception) and not self._was_killed:
                    self.on_kill()
                raise

    def _read_once(self, generation_id: str) -> Generation:
        return self._connected.reopen().get_generation(generation_id)

    async def _look_up(self) -> Settings:
        # Not from the event loop itself, where the caller's own requests to Airflow would collide with it.
        return await in_daemon_thread(self._connected.look_up)
