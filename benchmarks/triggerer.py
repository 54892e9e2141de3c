# SPDX-License-Identifier: Apache-2.0
"""Runs triggers as the triggerer's runner does: its own ``run_trigger``, portal, context and log lines included."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.sdk.log import configure_logging

from benchmarks.connections import Connections
from benchmarks.measured import is_success


class Triggerer:
    """A triggerer's runner without a supervisor: its log is written, but read by nobody."""

    def __init__(self) -> None:
        sink = Path(os.devnull).open("wb")  # noqa: SIM115 - to the end of the process
        configure_logging(json_output=True, output=sink, sending_to_supervisor=True)
        self._runner: Any = TriggerRunner()  # type: ignore[no-untyped-call]
        self.fired_at: dict[int, float] = {}
        self.failed: list[str] = []
        self._payloads: dict[int, object] = {}

    @property
    def lookups(self) -> int:
        """Number of connection look-ups of this process."""
        return Connections.lookups

    async def all_done(self) -> None:
        """Wait until all triggers have ended."""
        await asyncio.gather(*(details["task"] for details in self._runner.triggers.values()), return_exceptions=True)

    def start(self, number: int, trigger: Any) -> None:
        """Start a trigger.

        :param number: its id.
        :param trigger: the trigger.
        """
        trigger.trigger_id = number
        task = asyncio.create_task(self._run(number, trigger), name=f"ID {number}")
        self._runner.triggers[number] = {"task": task, "is_watcher": False, "name": f"ID {number}", "events": 0}

    async def stop(self) -> None:
        """Cancel all running triggers, as a triggerer that shuts down."""
        tasks = [details["task"] for details in self._runner.triggers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _payload_of(self, number: int) -> object:
        """Take the events that a supervisor would take, and return the payload of one trigger's event."""
        while self._runner.events:
            entry = self._runner.events.popleft()
            self._payloads[entry.trigger_id] = entry.event.payload
        return self._payloads.pop(number, None)

    async def _run(self, number: int, trigger: Any) -> None:
        try:
            await self._runner.run_trigger(number, trigger)
            now, payload = time.time(), self._payload_of(number)
            if is_success(payload):
                self.fired_at[number] = now
            else:
                self.failed.append(str(payload)[:200])
        except Exception as error:
            self.failed.append(f"{type(error).__name__}: {error}"[:200])
        finally:
            del self._runner.triggers[number]
