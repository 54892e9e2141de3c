# SPDX-License-Identifier: Apache-2.0
"""What the ledger holds about a task's generation, for the errors of the task. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_evolink.api.error_facts import ErrorFacts
from airflow_provider_evolink.api.generation_facts import facts_of_record
from airflow_provider_evolink.submission.record import LedgerRecord, Phase

# In the other phases it is under way, or its response was lost.
_CHARGED: Mapping[Phase, bool] = {Phase.WITHDRAWN: False, Phase.FINISHED: True}


def facts_of_submission(record: LedgerRecord | None) -> ErrorFacts:
    """Return what the ledger holds about what a task has paid for.

    :param record: what it holds; ``None`` if nothing was ever submitted.
    """
    if record is None:
        return ErrorFacts(charged=False)
    return ErrorFacts(
        generation_id=record.generation_id,
        model=record.model,
        credits_reserved=record.credits_reserved,
        charged=record.was_charged if record.phase is Phase.FAILED else _CHARGED.get(record.phase),
    ).or_else(facts_of_record(record.result or {}))
