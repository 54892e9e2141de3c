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

from benchmarks.lookups import Connections
from benchmarks.measured import is_success


class Triggerer:
    """A triggerer's runner without a supervisor: what it logs is written out, but read by nobody."""

    def __init__(self) -> None:
        sink = Path(os.devnull).open("wb")  # noqa: SIM115 - to the end of the process
        configure_logging(json_output=True, output=sink, sending_to_supervisor=True)
        self._runner: Any = TriggerRunner()  # type: ignore[no-untyped-call]
        self.fired_at: dict[int, float] = {}
        self.failed: list[str] = []
        self._words: dict[int, object] = {}

    @property
    def lookups(self) -> int:
        """How many connections this process has looked up."""
        return Connections.asked

    async def all_done(self) -> None:
        """Wait until all have ended."""
        await asyncio.gather(*(details["task"] for details in self._runner.triggers.values()), return_exceptions=True)

    def start(self, number: int, trigger: Any) -> None:
        """Start a trigger.

        :param number: its id.
        """
        trigger.trigger_id = number
        task = asyncio.create_task(self._run(number, trigger), name=f"ID {number}")
        self._runner.triggers[number] = {"task": task, "is_watcher": False, "name": f"ID {number}", "events": 0}

    async def stop(self) -> None:
        """End all that still run, as a triggerer that is told to stop."""
        tasks = [details["task"] for details in self._runner.triggers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _word_of(self, number: int) -> object:
        """Take the events that the supervisor would take, and return one trigger's."""
        while self._runner.events:
            entry = self._runner.events.popleft()
            self._words[entry.trigger_id] = entry.event.payload
        return self._words.pop(number, None)

    async def _run(self, number: int, trigger: Any) -> None:
        try:
            await self._runner.run_trigger(number, trigger)
            now, word = time.time(), self._word_of(number)
            if is_success(word):
                self.fired_at[number] = now
            else:
                self.failed.append(str(word)[:200])
        except Exception as error:
            self.failed.append(f"{type(error).__name__}: {error}"[:200])
        finally:
            del self._runner.triggers[number]
