# SPDX-License-Identifier: Apache-2.0
"""The call of ``EvoLinkHook.wait``."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_evolink.execution.calling_task import CallingTask
from airflow_provider_evolink.execution.collecting_wait import CollectingWait
from airflow_provider_evolink.execution.generation_call import Connected, GenerationCall
from airflow_provider_evolink.execution.pending import KeepWaiting, PendingGeneration, after_read, collectable

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.types import GenerationRecord


class CollectingCall(CollectingWait, GenerationCall):
    """Wait for a generation that was submitted elsewhere; never submits.

    :param generation: its id, or a record of it.
    """

    def __init__(
        self,
        connected: Connected,
        task: CallingTask,
        generation: object,
        *,
        timeout: float | timedelta | None,
        poll_interval: float | None = None,
    ) -> None:
        super().__init__(connected, task, timeout=timeout, poll_interval=poll_interval)
        self._pending = collectable(generation, self._context["ti"].try_number, since=time.time())

    def _start(self) -> GenerationRecord | KeepWaiting:
        self._watch(self._pending)
        return self._collect(self._context, self._pending)

    def _updated(self, context: Context, pending: PendingGeneration, generation: Generation) -> PendingGeneration:  # noqa: ARG002
        self._pending = after_read(pending, generation)
        return self._pending
