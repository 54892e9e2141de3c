# SPDX-License-Identifier: Apache-2.0
"""Land the results of rows, several at a time, each in constant memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import EvoLinkError, LandingError, StorageRefusedError
from airflow_provider_evolink.api.results import results_expire_at
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status
from airflow_provider_evolink.landing.checkpoint import Landed
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.landing.filenames import Result, check_pattern
from airflow_provider_evolink.landing.lander import Lander
from airflow_provider_evolink.landing.partial_failure import MAX_CONSECUTIVE_FAILURES
from airflow_provider_evolink.landing.poster_queue import PosterQueue
from airflow_provider_evolink.landing.safe_http import Network
from airflow_provider_evolink.landing.sources import results_in
from airflow_provider_evolink.landing.storage_errors import describe, is_missing_folder
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.posters.painter import Painter
from airflow_provider_evolink.submission.record import Phase

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation

# Files that are downloaded and written at a time.
CONCURRENCY = 8
# Seconds after which those that are done are collected: to wake up for each costs a twentieth of landing a small one.
_COLLECT_SECONDS = 0.1
# A line for each of thousands of files would cost more than the files: what landed is in the manifest.
_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)


class RowFiles:
    """What one row has landed: the memory of a :class:`Lander`, kept in the row's entry of the ledger."""

    def __init__(self, files: Sequence[tuple[int, Landed]]) -> None:
        self._files = {(landed.generation_id, index): landed for index, landed in files}

    def get(self, result: Result) -> Landed | None:
        """Return what is known of a result."""
        return self._files.get((result.generation_id, result.index))

    def written_to(self, uri: str) -> list[Landed]:
        """Return every file that this row has put under a URI."""
        return [landed for landed in self._files.values() if landed.uri == uri]

    def uploads_to(self, uri: str) -> list[str]:  # noqa: ARG002
        """Return nothing: an upload that a kill has cut off is removed as a stale one by a later landing."""
        return []

    def put(self, result: Result, landed: Landed, *, written: bool, upload_id: str | None = None) -> None:  # noqa: ARG002
        """Note where a result lands; it is stored with the row's entry."""
        self.note(result, landed)

    def note(self, result: Result, landed: Landed) -> None:
        """Note what has landed."""
        self._files[result.generation_id, result.index] = landed

    def entries(self) -> tuple[tuple[int, Landed], ...]:
        """Return them as the row's entry keeps them: one for each URI, the latest."""
        latest = {landed.uri: (index, landed) for (_, index), landed in self._files.items()}
        return tuple(latest.values())


@dataclass
class RowLander:
    """Land the results of rows.

    :param destination: the folder.
    :param network: how to reach media hosts.
    :param renew: asks EvoLink for a new link to a result; ``None`` if EvoLink has none.
    :param on_existing: what to do with a file of the same name that the row has not written.
    :param try_number: of this try.
    :param on_written: receives each file that was written, in any thread.
    :param failures_in_a_row: temporary failures since the last file that landed.
    :param painter: draws the poster of each file, one at a time; ``None`` = no posters.
    :ivar last_failure: the latest failure.
    :ivar refused: why nothing more is landed, once the storage or the network is evidently down for all rows.
    """

    destination: StorageTarget
    network: Network
    renew: Callable[[Result], str | None]
    on_existing: OnExisting
    try_number: int
    on_written: Callable[[Result, Landed], None]
    failures_in_a_row: int = 0
    painter: Painter | None = None
    refused: EvoLinkError | None = field(default=None, init=False)
    last_failure: EvoLinkError | None = field(default=None, init=False)
    _posters: PosterQueue | None = field(default=None, init=False)

    async def land_all(
        self, ended: Sequence[tuple[RowEntry, Generation]], on_landed: Callable[[RowEntry], None]
    ) -> None:
        """Land rows concurrently; their posters follow, see :meth:`add_posters`.

        :param ended: rows whose generation is completed, with EvoLink's report.
        :param on_landed: receives the entry of each row, in the order in which they end.
        """
        if self.painter is not None and self._posters is None:
            self._posters = PosterQueue()
        pool, done, left = _pool(), SimpleQueue[Future[RowEntry]](), len(ended)
        try:
            for entry, generation in ended:
                pool.submit(self._land, entry, generation).add_done_callback(done.put)
            while left:
                await asyncio.sleep(_COLLECT_SECONDS)
                for _ in range(done.qsize()):
                    on_landed(done.get().result())
                    left -= 1
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            if self.network.connections is not None:
                self.network.connections.close()

    async def add_posters(self, is_killed: Callable[[], bool] = lambda: False) -> Mapping[str, bool]:
        """Wait for the posters of what has landed, which are added from then on.

        :param is_killed: whether the task has been killed: it does without the others then.
        :return: by the URI of each file, whether it has one now.
        """
        if self._posters is None:
            return {}
        try:
            return await asyncio.to_thread(self._posters.results, is_killed)
        finally:
            self.close()

    def close(self) -> None:
        """Do without the posters that are not added yet."""
        if self._posters is not None:
            self._posters.cancel()
            self._posters = None
        if self.painter is not None:
            self.painter.close()

    async def missing_files(self, entries: Sequence[RowEntry]) -> list[RowEntry]:
        """Return the landed rows of which a file is no longer there, or has another size."""
        pool, loop = _pool(), asyncio.get_running_loop()
        checks = await asyncio.gather(*(loop.run_in_executor(pool, self._is_there, entry) for entry in entries))
        pool.shutdown(wait=False)
        return [entry for entry, is_there in zip(entries, checks, strict=True) if not is_there]

    def _is_there(self, entry: RowEntry) -> bool:
        return not any(map(self._is_missing, entry.landed))

    def _is_missing(self, file: Landed) -> bool:
        """Return whether the storage says so; what landed at an earlier destination stays there."""
        folder = f"{self.destination.uri.rstrip('/')}/"
        if not file.uri.startswith(folder):
            return False
        target = self.destination / file.uri.removeprefix(folder)
        try:
            target.fs.invalidate_cache(target.folder)
            return int(target.fs.info(target.path)["size"]) != file.bytes
        except Exception as error:
            return is_missing_folder(error)

    def _land(self, entry: RowEntry, generation: Generation) -> RowEntry:
        """Land the results of a row, and return its new entry."""
        files = RowFiles(entry.files)
        try:
            self._land_results(entry, generation, files)
        except Exception as failure:
            error = failure if isinstance(failure, EvoLinkError) else _unexpected(generation, failure)
            # What is paid for and can still be landed keeps the task from succeeding, whatever ``max_failed`` allows.
            status = Status.FAILED if error.permanent else Status.UNFINISHED
            return replace(entry, files=files.entries(), problem=Problem.of(error, self.try_number, status))
        record = entry.record and replace(entry.record, phase=Phase.FINISHED, media_links=None, media_expire_at=None)
        return replace(entry, record=record, files=files.entries(), problem=None)

    def _land_results(self, entry: RowEntry, generation: Generation, files: RowFiles) -> None:
        if self.refused is not None:
            raise _not_tried(generation, self.refused)
        results = results_in(generation, _links_expire_at(entry, generation))
        lander = Lander(
            destination=self.destination,
            pattern=entry.pattern,
            network=self.network,
            checkpoint=files,
            renew=self.renew,
            on_existing=self.on_existing,
            on_written=self.on_written,
            painter=self.painter,
            posters=self._posters,
            log=_log,
        )
        errors = []
        check_pattern(entry.pattern, results)
        for result in results:
            try:
                landed = lander.land(result)
                if landed is not None:
                    files.note(result, landed)
            except EvoLinkError as error:
                self._note_failure(error)
                errors.append(error)
        if errors:
            raise min(errors, key=lambda error: error.permanent)
        self.failures_in_a_row = 0

    def _note_failure(self, error: EvoLinkError) -> None:
        """Stop landing the others once the storage or the network is evidently down for all."""
        self.last_failure = error
        self.failures_in_a_row = 0 if error.permanent else self.failures_in_a_row + 1
        is_down = self.failures_in_a_row >= MAX_CONSECUTIVE_FAILURES * CONCURRENCY
        if is_down or isinstance(error, StorageRefusedError):
            self.refused = error


def _not_tried(generation: Generation, refused: EvoLinkError) -> EvoLinkError:
    """Return the error of a row that was left alone since landing others has shown that none can land now."""
    if not isinstance(refused, LandingError):
        return refused
    reason = refused.__cause__.facts if isinstance(refused.__cause__, EvoLinkError) else refused.facts
    return type(refused)(
        f"Generation {generation.id} is made and paid for. It was not landed, since others failed to: {reason}",
        advice=refused.advice,
        generation_id=generation.id,
    )


def _unexpected(generation: Generation, failure: Exception) -> LandingError:
    """Turn an error that nobody has thought of into one of the row: the other rows land all the same."""
    _log.error("Landing generation %s failed unexpectedly.", generation.id, exc_info=failure)
    return LandingError(
        f"Landing generation {generation.id} failed unexpectedly ({describe(failure)}); it is made and paid for.",
        advice="A retry lands it again, at no cost.",
    )


def _links_expire_at(entry: RowEntry, generation: Generation) -> str | None:
    """Return the earliest time at which the links can expire: a link that is dead before may be alive again later."""
    record = entry.record
    submitted_at = generation.created if record is None else record.submitted_at or record.intent_at
    if submitted_at is None:
        return None
    timestamp = results_expire_at(submitted_at, generation.model if record is None else record.model)
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="evolink-landing")
