# SPDX-License-Identifier: Apache-2.0
"""Land the results of generations as a step of a task, whether the task has made them or was given them.

Once a generation is paid for, its links expire. So a task that pays checks beforehand, without sending anything,
everything about the landing that can be checked by then.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from urllib.request import getproxies

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError, LandingError, LandingInputError
from airflow_provider_evolink.api.generation import EXAMPLE_ID
from airflow_provider_evolink.api.generation_facts import facts_of_record
from airflow_provider_evolink.compat import NEVER_EXPIRE
from airflow_provider_evolink.execution import posters
from airflow_provider_evolink.execution.announcement import Announcement, origin_of
from airflow_provider_evolink.execution.cost_line import cost_of
from airflow_provider_evolink.execution.metrics import report_landed
from airflow_provider_evolink.execution.reports import cannot_land_now
from airflow_provider_evolink.execution.task_state import mirrored_store
from airflow_provider_evolink.landing.asset_names import asset_key, check_asset_names
from airflow_provider_evolink.landing.checkpoint import MAX_ASSET_CHARACTERS, STORE_KEY, asset_uri
from airflow_provider_evolink.landing.existing import OnExisting, parse_on_existing
from airflow_provider_evolink.landing.filenames import Result, check_pattern
from airflow_provider_evolink.landing.partial_failure import Failures
from airflow_provider_evolink.landing.sources import (
    check_empty,
    check_finished,
    expects_files,
    generations_in,
    results_of,
)
from airflow_provider_evolink.lineage.run import GenerationFacts, RunLineage

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.api.settings import Settings
    from airflow_provider_evolink.execution.account import Account
    from airflow_provider_evolink.landing.checkpoint import Landed
    from airflow_provider_evolink.landing.kept_connections import KeptConnections
    from airflow_provider_evolink.landing.lander import Lander
    from airflow_provider_evolink.landing.safe_http import Network
    from airflow_provider_evolink.landing.storage_target import StorageTarget
    from airflow_provider_evolink.types import LandedFile

# Field of a record, and of an asset event's extra, with the files that have landed.
LANDED_FIELD: Final = "landed"


def media_network(settings: Settings, connections: KeptConnections[Any] | None = None) -> Network:
    """Return how to reach the hosts of results.

    :param settings: of the account, which apply to them too.
    :param connections: see :class:`~airflow_provider_evolink.landing.safe_http.Network`.
    """
    from airflow_provider_evolink.api.transports.tls import tls_context
    from airflow_provider_evolink.landing.safe_http import Network

    return Network(
        allow_loopback=settings.is_loopback,
        # Even finding a context that exists takes a look at the folder of certificates, and the environment is large.
        tls=functools.cache(functools.partial(tls_context, settings.verify)),
        proxy=settings.proxy,
        environment_proxies=functools.cache(getproxies),
        connections=connections,
    )


def fresh_link(account: Account, result: Result) -> str | None:
    """Read a generation again for a link that has expired; ``None`` = it has no such result any more.

    :param account: that has made it.
    """
    links = account.get_generation(result.generation_id).links
    return links[result.index] if result.index < len(links) else None


@dataclass(frozen=True, slots=True)
class LandingStep:
    """Everything needed to land generations, except the generations and the task's context.

    :param destination: the folder, as for ``EvoLinkToObjectStorageOperator``.
    :param filename_pattern: how files are named, likewise.
    :param on_existing: what to do with a file of the same name that this task has not written, likewise.
    :param outlets: of the task: what gets asset events.
    :param hook: the account that reads records and renews links, and whose settings apply to the hosts of results.
    :param log: receives progress and warnings.
    :param store_key: of the checkpoint.
    :param asset_name: names the assets of an ``AssetAlias``, likewise; ``None`` = the URIs of the files.
    :param prompt: of the generation, for the events; ``None`` = unknown.
    :param lineage: receives what was landed, of which generations.
    """

    destination: Any
    filename_pattern: str
    on_existing: Any
    outlets: Sequence[Any]
    hook: Account
    log: Any
    store_key: str = STORE_KEY
    asset_name: str | None = None
    prompt: object = None
    lineage: RunLineage = field(default_factory=RunLineage)

    def check(self, model: str, count: int) -> None:
        """Refuse, before a generation is paid for, what would make its landing fail; sends nothing.

        :param model: of the generation.
        :param count: number of results that it is expected to have.
        :raises InvalidInputError: the landing can't work.
        :raises LandingError: the storage can't be opened, or a local folder can't be written to, at the moment.
        """
        from airflow_provider_evolink.landing.storage import check_writable

        try:
            parse_on_existing(self.on_existing)
            posters.are_on()
            target = self._target()
            results = _expected_results(model, count)
            self._check_names(target, results)
            self._check_asset_names(results)
            check_writable(target)
        except LandingInputError as error:
            # The same, but it says that nothing was sent rather than that nothing was downloaded.
            raise InvalidInputError(error.parameter, error.value, error.allowed) from error

    def check_storage(self) -> None:
        """Ask an object storage, right before a generation is paid for, whether it can be used; nothing is written.

        :raises StorageRefusedError: there is no such bucket, or the credentials are unknown or wrong.
        :raises LandingError: it can't be reached, or fails. A retry asks it again.
        """
        from airflow_provider_evolink.landing.storage_check import check_bucket

        try:
            check_bucket(self._target())
        except LandingError as error:
            failure = cannot_land_now(error, None, conn_id=self.hook.evolink_conn_id)
            failure.charged = False
            raise failure from error

    def land(self, context: Context, generation: object) -> list[LandedFile]:
        """Land every result in turn; if one fails, land the others before raising its error.

        :param generation: a record, a generation id, or a sequence of them.
        :return: an entry for each file, in the order of the results.
        :raises LandingInputError: the landing can't work; nothing was downloaded.
        :raises EvoLinkError: a result could not be landed. A retry lands only what is missing.
        """
        generations = generations_in(generation)
        try:
            return self._land(context, generations)
        except EvoLinkError as error:
            error.complete(facts_of_record(generations.get(error.generation_id or "") or {}))
            raise

    def _land(self, context: Context, generations: dict[str, Mapping[str, Any] | None]) -> list[LandedFile]:
        """Land every result.

        :param generations: the record by id; those that are read are put in.
        """
        on_existing = parse_on_existing(self.on_existing)
        target, failures = self._target(), Failures()
        if not generations:
            self.log.warning("No generation given: upstream made none, or all of them failed. Nothing to land.")
        by_generation = failures.each(list(generations), lambda each: self._results(each, generations))
        results = list(chain.from_iterable(by_generation))
        self._check_names(target, results)
        # Now that they are paid for, several events for one asset are better than no files.
        self._check_asset_names(results[:1])
        with self._lander(context, target, on_existing) as lander:
            outcomes = failures.each(results, lambda each: (each, lander.land(each)))
        landed = [(result, file) for result, file in outcomes if file is not None]
        self._note_lineage(landed, generations)
        failures.raise_any()
        self._announce(context, landed, generations)
        if generations:
            self.log.info("%s", cost_of(record or {} for record in generations.values()))
        return [file.entry() for _, file in landed]

    def _target(self) -> StorageTarget:
        from airflow_provider_evolink.landing.storage_target import storage_target

        return storage_target(self.destination)

    def _check_names(self, target: StorageTarget, results: Sequence[Result]) -> None:
        """Refuse a pattern, or names that make too long a URI for an asset event, before the first download.

        Only events through an alias carry the URI, unless their assets have names.
        """
        from airflow.sdk import AssetAlias

        names = check_pattern(self.filename_pattern, results)
        if self.asset_name is None and any(isinstance(outlet, AssetAlias) for outlet in self.outlets):
            self._check_uris([asset_uri(f"{target.uri}/{name}") for name in names])

    def _check_asset_names(self, results: Sequence[Result]) -> None:
        if self.asset_name is not None:
            check_asset_names(self.asset_name, results)

    def _check_uris(self, uris: Sequence[str]) -> None:
        """Refuse URIs that are too long for an asset event."""
        longest = max(map(len, uris), default=0)
        if longest > MAX_ASSET_CHARACTERS:
            allowed = (
                f"short enough for asset events, whose URI may have {MAX_ASSET_CHARACTERS} characters; it would have "
                f"{longest} (a Chinese character, for example, takes nine). Shorten the path, or set asset_name, or "
                "remove the AssetAlias from outlets"
            )
            raise LandingInputError("destination", str(self.destination), allowed)

    def _results(self, generation_id: str, generations: dict[str, Mapping[str, Any] | None]) -> list[Result]:
        record = generations[generation_id]
        results = results_of(record) if record is not None else None
        if record is None or results is None or (not results and expects_files(record)):
            # EvoLink may know more than the record: that the generation has ended, or files that were not listed yet.
            record = generations[generation_id] = self._read_record(generation_id, record or {})
            results = results_of(record) or []
        if not results:
            check_empty(record)
            self.log.info("Generation %s made no files, as expected of its model: nothing to land.", generation_id)
        return results

    def _read_record(self, generation_id: str, known: Mapping[str, Any]) -> Mapping[str, Any]:
        from airflow_provider_evolink.result import Origin, build_record

        generation = self.hook.get_generation(generation_id)
        check_finished(generation_id, generation.status)
        now = time.time()
        model = known.get("model")
        origin = Origin(min(generation.created or now, now), model if isinstance(model, str) else None)
        record = build_record(generation, origin, now=now)
        # When it ended is not known: it is read now for another reason.
        self.lineage.add_generation(replace(GenerationFacts.of_record(record), seconds=generation.duration))
        return record

    @contextmanager
    def _lander(self, context: Context, target: StorageTarget, on_existing: OnExisting) -> Iterator[Lander]:
        from airflow_provider_evolink.landing.checkpoint import Checkpoint
        from airflow_provider_evolink.landing.lander import Lander

        with posters.painter() or nullcontext() as painter:
            yield Lander(
                destination=target,
                pattern=self.filename_pattern,
                network=media_network(self.hook.settings),
                checkpoint=Checkpoint(mirrored_store(context, self.log), NEVER_EXPIRE, name=self.store_key),
                renew=functools.partial(fresh_link, self.hook),
                on_existing=on_existing,
                on_written=report_landed,
                painter=painter,
                log=self.log,
            )

    def _note_lineage(
        self, landed: Sequence[tuple[Result, Landed]], generations: Mapping[str, Mapping[str, Any] | None]
    ) -> None:
        self.lineage.add_files(file.uri for _, file in landed)
        for record in filter(None, generations.values()):
            self.lineage.add_generation(GenerationFacts.of_record(record))

    def _announce(
        self,
        context: Context,
        landed: Sequence[tuple[Result, Landed]],
        generations: Mapping[str, Mapping[str, Any] | None],
    ) -> None:
        """Report the files to Airflow: as asset events and as lineage."""
        announcement = Announcement(self.outlets, context, self.hook)
        for result, file in landed:
            facts = facts_of_record(generations[result.generation_id] or {})
            origin = origin_of(model=facts.model, credits_used=facts.credits_used, prompt=self.prompt)
            name = self.asset_name
            key = None if name is None else asset_key(name, result, file.media_type)
            announcement.add(file, origin, key)
        announcement.publish({LANDED_FIELD: [_as_json(file.entry()) for _, file in landed]})


def _expected_results(model: str | None, count: int) -> list[Result]:
    """Return results such as a generation may have, to try a pattern with."""
    return [Result(EXAMPLE_ID, index, "", model) for index in range(count)]


def _as_json(file: LandedFile) -> dict[str, Any]:
    return {**file}
