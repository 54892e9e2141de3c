# SPDX-License-Identifier: Apache-2.0
"""Follow a task's ledger: what it holds, for the task's errors, and what has just happened, for its metrics."""

from __future__ import annotations

from airflow_provider_evolink.api.error_facts import ErrorFacts
from airflow_provider_evolink.execution.metrics import report_change
from airflow_provider_evolink.submission.facts import facts_of_submission
from airflow_provider_evolink.submission.record import LedgerRecord


class LedgerProgress:
    """What is known of the ledger of one call of ``execute`` or ``execute_complete``.

    :ivar facts: for the errors of the task; all unknown until the ledger was read.
    """

    def __init__(self) -> None:
        self.facts = ErrorFacts()
        self._record: LedgerRecord | None = None
        self._is_known = False

    def note(self, record: LedgerRecord | None) -> None:
        """Take note of a record that was read or written."""
        facts = facts_of_submission(record)
        if self._is_known and record is not None:
            report_change(self._record, record, facts.credits_used)
        self._record, self._is_known, self.facts = record, True, facts
