# SPDX-License-Identifier: Apache-2.0
"""What waits in the triggerer: the provider's own trigger, or a trigger that only sleeps.

Neither is modified. But a process that imports this module counts the messages it sends to its supervisor, one line
each in the file that ``BENCH_MESSAGES`` names.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.jobs.triggerer_job_runner import TriggerCommsDecoder
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger

MESSAGES = "BENCH_MESSAGES"
_DAY = 86_400.0
_asend = TriggerCommsDecoder.asend


async def _counted(decoder: TriggerCommsDecoder, message: Any) -> Any:
    with Path(os.environ[MESSAGES]).open("a") as file:  # noqa: ASYNC230 - takes microseconds
        file.write(f"{time.time():.3f} {type(message).__name__}\n")
    return await _asend(decoder, message)


if MESSAGES in os.environ:
    TriggerCommsDecoder.asend = _counted  # type: ignore[assignment, method-assign]


class Waiting(EvoLinkGenerationTrigger):
    """The provider's trigger."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to recreate this trigger."""
        return "benchmarks.real.triggers.Waiting", super().serialize()[1]


class Sleeping(BaseTrigger):
    """Sleep for a day."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to recreate this trigger."""
        return "benchmarks.real.triggers.Sleeping", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep."""
        await asyncio.sleep(_DAY)
        yield TriggerEvent(None)  # type: ignore[no-untyped-call]
