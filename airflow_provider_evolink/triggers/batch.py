# SPDX-License-Identifier: Apache-2.0
"""Trigger that polls many generations in the triggerer, and wakes a worker when enough of them have ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_evolink.polling.crowd import wait_for_enough
from airflow_provider_evolink.polling.events import batch_event_payload
from airflow_provider_evolink.polling.packed_watches import pack, unpack
from airflow_provider_evolink.polling.policy import Watch
from airflow_provider_evolink.polling.poller import Poller
from airflow_provider_evolink.polling.wake_rule import WakeRule
from airflow_provider_evolink.result import batch_trigger_stopped
from airflow_provider_evolink.triggers.base import EvoLinkBaseTrigger


class EvoLinkBatchTrigger(EvoLinkBaseTrigger):
    """Poll many generations until enough have ended and yield exactly one event; nothing is ever submitted.

    Airflow stores a trigger's arguments in its database, so they hold ids and times, packed into 7 bytes for each
    generation, but no API key, prompt, row or result URL. All times are absolute, so a restarted triggerer resumes
    where the last one stopped; only ``longest_wait`` begins anew. Arguments that this version does not know are
    ignored, so a row that a later version stored still works.

    The event is ``{outcome, ended, watched, detail}``: how many of the generations that were ``watched`` have
    ``ended``, whether terminal, refused or past their deadline, and a short account of those that are not terminal, or
    ``None``. It names no generation, since the worker reads all of them. ``outcome`` is one of:

    - ``terminal``: enough have ended;
    - ``unreachable``: every poll of every generation failed for its ``unreachable_timeout``;
    - ``no_connection``: this triggerer has no such connection; a worker may have it.

    :param evolink_conn_id: connection of type ``evolink`` or ``http``.
    :param watches: the generations and how to wait for each, as :meth:`for_watches` packs them.
    :param at_least: ended generations that are worth a worker's start.
    :param longest_wait: seconds for which an ended generation may wait to be landed, 600 by default.
    :param credits_reserved: credits that EvoLink has reserved for all of them, for the log.
    """

    def __init__(
        self,
        evolink_conn_id: str,
        watches: str,
        at_least: int,
        longest_wait: float = 600.0,
        credits_reserved: float | None = None,
        **_: Any,
    ) -> None:
        super().__init__(evolink_conn_id)
        self.watches = watches
        self.rule = WakeRule(at_least, longest_wait)
        self.credits_reserved = credits_reserved

    @classmethod
    def for_watches(
        cls, watches: Sequence[Watch], rule: WakeRule, evolink_conn_id: str, *, credits_reserved: float | None = None
    ) -> EvoLinkBatchTrigger:
        """Make the trigger for watches and a rule."""
        return cls(evolink_conn_id, pack(watches), rule.at_least, rule.longest_wait, credits_reserved)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that recreate this trigger."""
        return "airflow_provider_evolink.triggers.batch.EvoLinkBatchTrigger", {
            "evolink_conn_id": self.evolink_conn_id,
            "watches": self.watches,
            "at_least": self.rule.at_least,
            "longest_wait": self.rule.longest_wait,
            "credits_reserved": self.credits_reserved,
        }

    async def on_kill(self) -> None:
        """Log what stays paid for and how to collect it; nothing is cancelled at EvoLink.

        As with a single generation, the text has to be true whatever the reason, without a look-up.
        """
        text = batch_trigger_stopped(len(unpack(self.watches)), cost=self.credits_reserved)
        self.log.warning("%s", text)

    async def _wait(self, poller: Poller) -> dict[str, Any]:
        return batch_event_payload(await wait_for_enough(poller, unpack(self.watches), self.rule, self._on_progress))

    def _on_progress(self, message: str) -> None:
        self.log.info("%s.", message)
