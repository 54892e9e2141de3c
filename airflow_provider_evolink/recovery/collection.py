# SPDX-License-Identifier: Apache-2.0
"""Read generations by their ids, fifty with one request, and land those that are completed. Nothing is ever paid."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_evolink.api.catalog import makes_files
from airflow_provider_evolink.api.client import make_concurrent_client, run
from airflow_provider_evolink.api.errors import EvoLinkError, GenerationNotFoundError, LandingError
from airflow_provider_evolink.api.generation import COMPLETED, MAX_BATCH, Generation
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status
from airflow_provider_evolink.batch.existing_files import ExistingFiles
from airflow_provider_evolink.batch.landing import RowLander
from airflow_provider_evolink.batch.statuses import Reports, StatusReader
from airflow_provider_evolink.landing.checkpoint import Landed
from airflow_provider_evolink.landing.filenames import safe_text
from airflow_provider_evolink.polling.rate_limiter import RateLimiter
from airflow_provider_evolink.result import failure_error

# How often a read that fails temporarily is sent, in total.
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of one generation.

    :param status: ``landed``, ``skipped`` (its files are there, or it has none), ``under_way`` or ``failed``.
    :param credits_used: as EvoLink reports them.
    :param files: those that have landed, or were there, in the order of the results.
    :param problem: why it has not landed.
    :param seconds: that it took, if EvoLink reports them.
    """

    generation_id: str
    status: Status
    model: str | None = None
    credits_used: float | None = None
    files: tuple[Landed, ...] = ()
    problem: Problem | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the stored form of one that has landed."""
        files = [asdict(file) for file in self.files]
        return {"model": self.model, "credits_used": self.credits_used, "files": files}

    @classmethod
    def from_json(cls, generation_id: str, stored: Mapping[str, Any]) -> Collected:
        """Read the stored form of one that has landed.

        :raises KeyError, TypeError: it is not one.
        """
        files = tuple(Landed(**file) for file in stored["files"])
        return cls(generation_id, Status.LANDED, stored["model"], stored["credits_used"], files)


def reader(settings: Settings) -> Callable[[Sequence[str]], Reports]:
    """Return a function that reads generations of an account by their ids."""

    def read(ids: Sequence[str]) -> Reports:
        async def read_all() -> Reports:
            async with make_concurrent_client(settings, attempts=_ATTEMPTS) as client:
                return await StatusReader(client, limiter).read(ids)

        return run(read_all)

    limiter = RateLimiter()
    return read


@dataclass(frozen=True, slots=True)
class Collector:
    """Land generations of one account.

    :param read: made by :func:`reader`.
    :param lander: lands the results of several generations at a time.
    :param pattern: how files are named.
    :param existing: the files that are at the destination already and need not land again; ``None`` = compare each.
    :param interrupted: ids of generations that are compared in any case, since a landing of them has not ended.
    """

    read: Callable[[Sequence[str]], Reports]
    lander: RowLander
    pattern: str
    existing: ExistingFiles | None = None
    interrupted: Collection[str] = ()

    def collect(
        self, ids: Sequence[str], on_begin: Callable[[Sequence[str]], None] = lambda _: None
    ) -> Iterator[Sequence[Collected]]:
        """Yield what became of the generations, fifty at a time, in the order of the ids.

        Ends early once the storage or the network is evidently down for all: nothing is yielded for the others then.

        :param on_begin: called with the ids of the next fifty before anything of them lands.
        :raises EvoLinkError: generations could not be read.
        """
        for start in range(0, len(ids), MAX_BATCH):
            if self.lander.refused is not None:
                return
            batch = ids[start : start + MAX_BATCH]
            on_begin(batch)
            yield self._collect(batch)

    def _collect(self, ids: Sequence[str]) -> Sequence[Collected]:
        reports = self.read(ids)
        _raise_if_none_was_read(reports)
        outcomes = {each: self._without_landing(each, reports[each]) for each in ids}
        to_land = [report for each, report in reports.items() if outcomes[each] is None]
        landed = self._land([report for report in to_land if isinstance(report, Generation)])
        return [outcome or landed[each] for each, outcome in outcomes.items()]

    def _without_landing(self, generation_id: str, generation: Generation | EvoLinkError) -> Collected | None:
        """Return what became of a generation that there is nothing to land of, ``None`` if there is."""
        if isinstance(generation, EvoLinkError):
            return _unread(generation_id, generation)
        outcome = _reported(generation, Status.SKIPPED)
        if not generation.is_terminal:
            return replace(outcome, status=Status.UNDER_WAY)
        if generation.status != COMPLETED:
            return _failed(outcome, failure_error(generation, cost=None, may_submit=False))
        if generation.links:
            return outcome if self._is_there(generation) else None
        return _failed(outcome, _no_links(generation)) if makes_files(generation.model or "") else outcome

    def _is_there(self, generation: Generation) -> bool:
        if self.existing is None or generation.id in self.interrupted:
            return False
        pattern = self.pattern.replace("{generation_id}", safe_text(generation.id))
        return len(self.existing.of(pattern)) >= len(generation.links)

    def _land(self, generations: Sequence[Generation]) -> Mapping[str, Collected]:
        landed: dict[str, RowEntry] = {}

        def note(entry: RowEntry) -> None:
            landed[entry.key] = entry

        async def land() -> Mapping[str, bool]:
            try:
                await self.lander.land_all([(RowEntry(each.id, self.pattern), each) for each in generations], note)
                return await self.lander.add_posters()
            finally:
                self.lander.close()

        posters = run(land) if generations else {}
        return {each.id: _outcome(each, landed[each.id].with_posters(posters)) for each in generations}


def _reported(generation: Generation, status: Status) -> Collected:
    used = generation.credits_charged
    return Collected(generation.id, status, generation.model, used, seconds=generation.duration)


def _outcome(generation: Generation, entry: RowEntry) -> Collected:
    outcome = _reported(generation, Status.LANDED)
    if entry.problem is not None:
        return replace(outcome, status=Status.FAILED, problem=entry.problem)
    return replace(outcome, files=tuple(file for _, file in sorted(entry.files, key=lambda item: item[0])))


def _failed(outcome: Collected, error: EvoLinkError) -> Collected:
    return replace(outcome, status=Status.FAILED, problem=Problem.of(error, 0))


def _unread(generation_id: str, error: EvoLinkError) -> Collected:
    """A replica may lag behind, so that even a generation that is not found may be found later."""
    problem = replace(Problem.of(error, 0), is_permanent=False)
    return Collected(generation_id, Status.FAILED, problem=problem)


def _raise_if_none_was_read(reports: Reports) -> None:
    errors = [each for each in reports.values() if isinstance(each, EvoLinkError)]
    outages = [each for each in errors if not isinstance(each, GenerationNotFoundError)]
    if outages and len(outages) == len(reports):
        raise outages[0]


def _no_links(generation: Generation) -> LandingError:
    used = generation.usage.credits_used
    price = "its price was not reported" if used is None else f"{used:g} credits were used"
    return LandingError(
        f"Generation {generation.id} is completed ({price}), but EvoLink lists no file of it.",
        advice="A later try asks again; if the file stays missing, send the id to EvoLink's support.",
        generation_id=generation.id,
    )
