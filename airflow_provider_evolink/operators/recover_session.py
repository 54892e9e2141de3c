# SPDX-License-Identifier: Apache-2.0
"""One run of a recovery: list, choose, land, remember, announce, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import EvoLinkError
from airflow_provider_evolink.api.task_list import MAX_LISTED
from airflow_provider_evolink.api.wording import counted
from airflow_provider_evolink.batch.entry import Status
from airflow_provider_evolink.batch.existing_files import ExistingFiles
from airflow_provider_evolink.compat import events_since
from airflow_provider_evolink.execution.announcement import Announcement, origin_of
from airflow_provider_evolink.execution.task_state import LEDGER_ASSET, store_across_runs
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.landing.asset_names import asset_key
from airflow_provider_evolink.landing.filenames import Result
from airflow_provider_evolink.landing.storage import check_writable
from airflow_provider_evolink.landing.storage_target import storage_target
from airflow_provider_evolink.lineage.datasets import generation
from airflow_provider_evolink.lineage.run import GenerationFacts, RunLineage
from airflow_provider_evolink.operators.recover_arguments import RecoveryArguments
from airflow_provider_evolink.operators.row_landing import row_lander
from airflow_provider_evolink.recovery.collection import Collected, Collector, reader
from airflow_provider_evolink.recovery.errors import recovery_failed
from airflow_provider_evolink.recovery.memory import STORE_KEY, Memory
from airflow_provider_evolink.recovery.selection import Selection, ids_in_event, select
from airflow_provider_evolink.types import RecoveryFailure, RecoverySummary

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.api.generation import Generation


class RecoverySession:
    """One run of a recovery.

    :param arguments: of the operator.
    :param context: of this try.
    :param log: of the task.
    :param inlets: of the task: the assets and aliases whose events report what others have landed.
    :param outlets: of the task: what gets asset events.
    :param lineage: receives what was landed, of which generations.
    """

    def __init__(
        self,
        arguments: RecoveryArguments,
        context: Context,
        log: Any,
        *,
        inlets: Sequence[Any],
        outlets: Sequence[Any],
        lineage: RunLineage,
    ) -> None:
        self._arguments = arguments
        self._context = context
        self._log = log
        self._inlets = inlets
        self._outlets = outlets
        self._lineage = lineage
        self._hook = EvoLinkHook(arguments.evolink_conn_id)
        self._memory = Memory(store_across_runs(context), STORE_KEY, log)
        self._failures: list[Collected] = []
        self._landed = self._attempted = self._skipped = 0
        self._stop: EvoLinkError | None = None

    def run(self) -> RecoverySummary:
        """Land what has not landed, and return the summary.

        :raises EvoLinkError: something could not be listed or landed.
        """
        arguments = self._arguments
        target = storage_target(arguments.destination)
        check_writable(target)
        self._memory.load(since=arguments.since)
        listed = self._list()
        known = {*self._memory.settled, *self._announced_by_others()}
        selection = select(
            listed.values(), known, submitted_before=arguments.submitted_before, limit=arguments.max_generations
        )
        under_way = self._hook.count_generations(status="processing", model=arguments.model)
        self._log_selection(selection, under_way)
        lander = row_lander(self._hook, target, try_number=self._context["ti"].try_number)
        collector = Collector(
            reader(self._hook.settings),
            lander,
            arguments.filename_pattern,
            ExistingFiles(target),
            self._memory.under_way,
        )
        self._land(collector, selection, listed)
        self._raise_any(selection)
        return self._announce(selection, under_way, target.uri)

    def _list(self) -> dict[str, Generation]:
        since = datetime.fromtimestamp(self._arguments.since, UTC)
        listed = self._hook.list_generations(since=since, model=self._arguments.model, limit=MAX_LISTED)
        if len(listed) == MAX_LISTED:
            self._log.warning(
                "The account has more than %s of that time: only the newest are looked at. Shorten lookback, or "
                "recover one model at a time.",
                counted(MAX_LISTED, "completed generation"),
            )
        return {each.id: each for each in listed}

    def _announced_by_others(self) -> Iterator[str]:
        """Yield the generations whose landing an asset event of the task's inlets reports."""
        from airflow.sdk import Asset, AssetAlias

        events = self._context.get("inlet_events")
        since = datetime.fromtimestamp(self._arguments.since, UTC)
        for inlet in self._inlets:
            if events is None or inlet == LEDGER_ASSET or not isinstance(inlet, Asset | AssetAlias):
                continue
            try:
                for event in events_since(events[inlet], since):
                    yield from ids_in_event(event.extra)
            except Exception as error:
                self._log.warning("The events of %r could not be read (%s); they count as none.", inlet.name, error)

    def _log_selection(self, selection: Selection, under_way: int) -> None:
        self._log.info(
            "%s since %s: %d known to have landed, %d left to their tasks by min_age, %d to look at, %d left to a "
            "later run by max_generations. Under way at EvoLink: %d.",
            counted(selection.found, "completed generation"),
            datetime.fromtimestamp(self._arguments.since, UTC).isoformat(timespec="seconds"),
            selection.known,
            selection.too_recent,
            len(selection.ids),
            selection.left,
            under_way,
        )

    def _land(self, collector: Collector, selection: Selection, listed: Mapping[str, Generation]) -> None:
        try:
            for outcomes in collector.collect(selection.ids, self._memory.begin):
                for outcome in outcomes:
                    self._note(outcome, listed[outcome.generation_id].created or time.time())
                self._memory.end()
            self._stop = collector.lander.refused
        except EvoLinkError as error:
            self._stop = error

    def _note(self, outcome: Collected, created: float) -> None:
        self._attempted += 1
        self._memory.note(outcome, created)
        self._note_lineage(outcome)
        if outcome.problem is not None:
            self._failures.append(outcome)
            self._log.warning("Generation %s: %s", outcome.generation_id, outcome.problem.text)
        elif outcome.status is Status.LANDED:
            self._landed += 1
            self._log.info("Landed generation %s", describe(outcome))
        else:
            self._skipped += 1

    def _note_lineage(self, outcome: Collected) -> None:
        if outcome.status is not Status.LANDED:
            return
        self._lineage.add_inputs([generation(outcome.generation_id)])
        self._lineage.add_files(file.uri for file in outcome.files)
        self._lineage.add_generation(
            GenerationFacts(
                outcome.generation_id,
                outcome.model,
                outcome.status.value,
                credits_used=outcome.credits_used,
                seconds=outcome.seconds,
            )
        )

    def _raise_any(self, selection: Selection) -> None:
        """Raise if anything could not be landed.

        :raises RecoveryFailedError: it names what.
        """
        left = len(selection.ids) - self._attempted
        if not self._failures and not left:
            return
        problems = [outcome.problem for outcome in self._failures if outcome.problem is not None]
        stop = self._stop
        raise recovery_failed(
            [failure_entry(outcome) for outcome in self._failures],
            landed=self._landed,
            left=left,
            reason="" if stop is None else stop.facts,
            is_permanent=all(each.is_permanent for each in problems) and (stop is None or stop.permanent),
        )

    def _announce(self, selection: Selection, under_way: int, folder: str) -> RecoverySummary:
        """Report what has landed, also in runs that have failed since the last one that succeeded."""
        landed = self._memory.announced()
        files = [file for outcome in landed for file in outcome.files]
        summary: RecoverySummary = {
            "found": selection.found,
            "landed": [file.entry() for file in files],
            "skipped": selection.known + self._skipped,
            "failed": [
                RecoveryFailure(generation_id=each, code=problem["code"], text=problem["text"])
                for each, problem in self._memory.failed.items()
            ],
            "under_way": under_way,
            "too_recent": selection.too_recent,
            "left": selection.left,
            "credits_used": sum(outcome.credits_used or 0.0 for outcome in landed),
        }
        announcement = Announcement(self._outlets, self._context, self._hook)
        for outcome in landed:
            self._announce_files(outcome, announcement)
        announcement.publish(summary)
        self._memory.save()
        self._log.info("Recovered: %s, below %s.", counted(len(landed), "generation"), folder)
        self._log.info("Cost: nothing now; making what was recovered had cost %.10g credits.", summary["credits_used"])
        return summary

    def _announce_files(self, outcome: Collected, announcement: Announcement) -> None:
        origin = origin_of(model=outcome.model, credits_used=outcome.credits_used)
        pattern = self._arguments.asset_name
        for index, file in enumerate(outcome.files):
            result = Result(outcome.generation_id, index, "", outcome.model)
            key = None if pattern is None else asset_key(pattern, result, file.media_type)
            announcement.add(file, origin, key)


def describe(outcome: Collected) -> str:
    """Return a line on a generation that has landed: its model, what it has cost, and where it is."""
    used = "unknown" if outcome.credits_used is None else f"{outcome.credits_used:g}"
    uris = ", ".join(file.uri for file in outcome.files)
    return f"{outcome.generation_id} ({outcome.model or 'unknown model'}, {used} credits): {uris}"


def failure_entry(outcome: Collected) -> RecoveryFailure:
    """Return a generation that could not be landed as an error and a summary list it."""
    problem = outcome.problem
    code, text = (None, "") if problem is None else (problem.code, problem.text)
    return {"generation_id": outcome.generation_id, "code": code, "text": text}
