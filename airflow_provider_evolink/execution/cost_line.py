# SPDX-License-Identifier: Apache-2.0
"""The last line in the log of a task that lands: what its generations have cost. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_evolink.api.generation_facts import facts_of_record
from airflow_provider_evolink.api.wording import counted


def cost_line(used: float, reserved: float = 0.0, *, unreported: int = 0) -> str:
    """Return a line on credits.

    :param used: credits that were charged.
    :param reserved: credits that are held back for generations that EvoLink has not settled.
    :param unreported: how many generations EvoLink has reported no price of.
    """
    parts = [f"{used:,.10g} credits"] if used or not (reserved or unreported) else []
    if reserved:
        parts.append(f"{reserved:,.10g} credits reserved, not settled yet")
    if unreported:
        parts.append(f"not reported by EvoLink for {counted(unreported, 'generation')}")
    return f"Cost: {'; '.join(parts)}."


def cost_of(records: Iterable[Mapping[str, Any]]) -> str:
    """Return a line on the credits of generations.

    :param records: as tasks return them, or as somebody has written them.
    """
    used = reserved = 0.0
    unreported = 0
    for record in records:
        facts = facts_of_record(record)
        if facts.credits_used is not None:
            used += facts.credits_used
        elif facts.credits_reserved is not None:
            reserved += facts.credits_reserved
        else:
            unreported += 1
    return cost_line(used, reserved, unreported=unreported)
