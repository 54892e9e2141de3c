# SPDX-License-Identifier: Apache-2.0
"""Wait for a generation that was submitted elsewhere: nothing is lost by giving up, so a timeout bounds all of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.execution.generation_wait import GenerationWait
from airflow_provider_evolink.execution.pending import KeepWaiting, PendingGeneration, may_be_unknown_yet
from airflow_provider_evolink.polling.confirmed_read import Refused, Unanswered

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.types import GenerationRecord


class CollectingWait(GenerationWait):
    """Base of what waits for a generation and never submits one."""

    _may_submit = False

    def _last_read_at(self, pending: PendingGeneration) -> float:
        return self._deadline(pending)

    def _collect(self, context: Context, pending: PendingGeneration) -> GenerationRecord | KeepWaiting:
        """Read the generation once, or until a refusal is confirmed; return its record if it has ended."""
        latest = self._read_unrefused(pending)
        if not isinstance(latest, Generation):
            return KeepWaiting(pending)
        pending = self._updated(context, pending, latest)
        return self._complete(context, pending, latest) if latest.is_terminal else KeepWaiting(pending)

    def _read_unrefused(self, pending: PendingGeneration) -> Generation | Refused | Unanswered:
        """Read the generation; a refusal is returned only while EvoLink may not know it yet.

        :raises EvoLinkError: EvoLink refuses to return it.
        """
        latest = self._read(pending, 0.0)
        if not isinstance(latest, Refused):
            return latest
        is_late = time.time() >= self._last_read_at(pending)
        if is_late or not may_be_unknown_yet(pending.generation_id, latest):
            raise self._refusal_error(latest, pending)
        return latest
