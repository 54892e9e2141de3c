# SPDX-License-Identifier: Apache-2.0
"""The call of ``EvoLinkHook.wait``."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.execution.calling_task import CallingTask
from airflow_provider_evolink.execution.generation_call import Connected, GenerationCall
from airflow_provider_evolink.execution.pending import (
    KeepWaiting,
    PendingGeneration,
    after_read,
    collectable,
    may_be_unknown_yet,
)
from airflow_provider_evolink.polling.confirmed_read import Refused

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.types import GenerationRecord


class CollectingCall(GenerationCall):
    """Wait for a generation that was submitted elsewhere; never submits.

    :param generation: its id, or a record of it.
    """

    _may_submit = False

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
        match self._read(self._pending, 0.0):
            case Generation() as generation:
                self._pending = self._updated(self._context, self._pending, generation)
                if generation.is_terminal:
                    return self._complete(self._context, self._pending, generation)
            case Refused() as refused if not may_be_unknown_yet(self._pending.generation_id, refused):
                raise self._refusal_error(refused, self._pending)
        return KeepWaiting(self._pending)

    def _updated(self, context: Context, pending: PendingGeneration, generation: Generation) -> PendingGeneration:  # noqa: ARG002
        return after_read(pending, generation)
