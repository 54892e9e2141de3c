# SPDX-License-Identifier: Apache-2.0
"""Transfer that lands a generation's results: from EvoLink's short-lived URLs into storage that the user owns."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_evolink.api.errors import LandingInputError
from airflow_provider_evolink.compat import NEVER_EXPIRE, BaseOperator
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID, EvoLinkHook
from airflow_provider_evolink.landing.checkpoint import MAX_ASSET_CHARACTERS, asset_uri
from airflow_provider_evolink.landing.existing import OnExisting, parse_on_existing
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN, Result, check_pattern
from airflow_provider_evolink.landing.partial_failure import Failures
from airflow_provider_evolink.landing.sources import (
    check_empty,
    check_finished,
    expects_files,
    generations_in,
    results_of,
)
from airflow_provider_evolink.landing.storage_target import check_form
from airflow_provider_evolink.operators.task_state import mirrored_store

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_evolink.landing.checkpoint import Landed
    from airflow_provider_evolink.landing.lander import Lander
    from airflow_provider_evolink.landing.safe_http import Network
    from airflow_provider_evolink.landing.storage_target import StorageTarget


class EvoLinkToObjectStorageOperator(BaseOperator):
    """Copy every result of a generation to object storage or a file system, and return what was written where.

    Each file is downloaded in constant memory, checked (size, media type by its first bytes, SHA-256) and gets its
    final name only once it is complete. A file that is already there with the same content is kept, and a retry does
    not download it again. A file that this task did not write is never replaced unless ``on_existing`` says so. Nothing
    is ever generated again. The API key is not sent to the hosts of the results.

    A result that can't be landed does not hold up the others: they land first, then the task fails with its error.
    After three consecutive failures that a retry may fix, the remaining results are left to the retry. Downloading one
    file may take an hour, including all attempts, waits and renewed links; ``execution_timeout`` limits the whole task.
    A file of unknown type lands as the server's Content-Type says, with a warning; web pages, other text and archives
    are rejected. A plain http URL is requested over https.

    A link that is dead, or returns a page instead of the file, is renewed once through the API (EvoLink's own client
    advises that; undocumented). Most links are valid for 24 hours (documented).

    Asset events: an ``AssetAlias`` in ``outlets`` gets one event per file, with the file's entry of the returned list
    as extra; an ``Asset`` in ``outlets`` gets one event with the whole list as ``extra["landed"]``. For a fan-out (a
    mapped task, many runs) use the alias: of several events for the same ``Asset``, a consumer's run may get only the
    first, and the others with the next run.

    :param generation: the record that ``EvoLinkGenerateOperator`` returns (``generate.output``), a list of records
        (of a mapped task), or a generation's id (templated). An id, or a record made before the generation ended, costs
        one free read.
    :param destination: the target folder: an absolute path, a URI such as ``s3://conn_id@bucket/videos``, or an
        ``ObjectStoragePath`` (templated). Folders are created; a bucket is not. Everything that can be checked without
        a request is checked before the first download.
    :param filename_pattern: file name below ``destination`` (templated), with the fields ``{generation_id}``,
        ``{index}`` (from 0; also ``{index:03d}``), ``{ext}``, ``{kind}`` (video, audio or image), ``{role}`` (result,
        preview, or cover of a song or a video) and ``{model}``, in single braces, and ``/`` for subfolders.
    :param on_existing: what to do when a file already has a result's name, and this task instance did not write it or
        it was changed since: ``fail`` (default) keeps it and fails the task with the facts, ``replace`` puts the result
        in its place, ``skip`` keeps it and leaves the result out of the returned list. Identical content counts as
        landed in any case.
    :param evolink_conn_id: connection of type ``evolink`` or ``http`` (templated). Results may be on this machine only
        if the connection's host is; its ``verify`` and ``proxy`` apply to the hosts of the results too.
    :return: ``[{uri, bytes, sha256, content_type, generation_id}]`` in the order of the results; empty if the
        model makes no files. ``uri`` contains no connection id.
    :raises EvoLinkFailException: invalid input, a link that is dead for good or unsafe to follow, a failed generation,
        another file under a result's name, or storage that refuses the connection. A retry would fail too.
    :raises LandingError: a result could not be downloaded or written, or EvoLink lists no file for a completed
        generation. A retry tries again and lands only what is missing.
    """

    template_fields: Sequence[str] = ("generation", "destination", "filename_pattern", "evolink_conn_id")
    ui_color = "#e9e2ff"

    def __init__(
        self,
        *,
        generation: Mapping[str, Any] | Sequence[Mapping[str, Any] | str] | str | XComArg,
        destination: str | ObjectStoragePath | XComArg,
        filename_pattern: str = DEFAULT_PATTERN,
        on_existing: Literal["fail", "replace", "skip"] = "fail",
        evolink_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        with airflow_errors():
            parse_on_existing(on_existing)
            if isinstance(destination, str) and not _is_template(destination):
                check_form(destination)
        self.generation: Any = generation
        self.destination: Any = destination
        self.filename_pattern = filename_pattern
        self.on_existing = on_existing
        self.evolink_conn_id = evolink_conn_id

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Land every result in turn; if one fails, land the others before raising its error."""
        with airflow_errors():
            on_existing = parse_on_existing(self.on_existing)
            target = self._target()
            failures, generations = Failures(), generations_in(self.generation)
            if not generations:
                self.log.warning("No generation given: upstream made none, or all of them failed. Nothing to land.")
            by_generation = failures.each(generations.items(), lambda generation: self._results(*generation))
            results = list(chain.from_iterable(by_generation))
            self._check_names(target, check_pattern(self.filename_pattern, results))
            landed = list(filter(None, failures.each(results, self._lander(context, target, on_existing).land)))
            failures.raise_any()
        self._announce(context, landed)
        return [file.entry() for file in landed]

    @cached_property
    def _hook(self) -> EvoLinkHook:
        return EvoLinkHook(self.evolink_conn_id)

    def _target(self) -> StorageTarget:
        from airflow_provider_evolink.landing.storage_target import storage_target

        return storage_target(self.destination)

    def _check_names(self, target: StorageTarget, names: Sequence[str]) -> None:
        """Refuse names that make too long a URI for an asset event, before the first download.

        Only events through an alias carry the URI.
        """
        from airflow.sdk import AssetAlias

        if not any(isinstance(outlet, AssetAlias) for outlet in self.outlets):
            return
        longest = max((len(asset_uri(f"{target.uri}/{name}")) for name in names), default=0)
        if longest > MAX_ASSET_CHARACTERS:
            allowed = (
                f"short enough for asset events, whose URI may have {MAX_ASSET_CHARACTERS} characters; it would have "
                f"{longest} (a Chinese character, for example, takes nine). Shorten the path, or remove the AssetAlias "
                "from outlets"
            )
            raise LandingInputError("destination", str(self.destination), allowed)

    def _results(self, generation_id: str, record: Mapping[str, Any] | None) -> list[Result]:
        results = results_of(record) if record is not None else None
        if record is None or results is None or (not results and expects_files(record)):
            # EvoLink may know more than the record: that the generation has ended, or files that were not listed yet.
            record = self._read_record(generation_id, record or {})
            results = results_of(record) or []
        if not results:
            check_empty(record)
            self.log.info("Generation %s made no files, as expected of its model: nothing to land.", generation_id)
        return results

    def _read_record(self, generation_id: str, known: Mapping[str, Any]) -> Mapping[str, Any]:
        from airflow_provider_evolink.result import Origin, build_record

        generation = self._hook.get_generation(generation_id)
        check_finished(generation_id, generation.status)
        now = time.time()
        model = known.get("model")
        origin = Origin(min(generation.created or now, now), model if isinstance(model, str) else None)
        return build_record(generation, origin, now=now)

    def _renew(self, result: Result) -> str | None:
        links = self._hook.get_generation(result.generation_id).links
        return links[result.index] if result.index < len(links) else None

    def _lander(self, context: Context, target: StorageTarget, on_existing: OnExisting) -> Lander:
        from airflow_provider_evolink.landing.checkpoint import Checkpoint
        from airflow_provider_evolink.landing.lander import Lander

        return Lander(
            destination=target,
            pattern=self.filename_pattern,
            network=self._network(),
            checkpoint=Checkpoint(mirrored_store(context, self.log), NEVER_EXPIRE),
            renew=self._renew,
            on_existing=on_existing,
        )

    def _network(self) -> Network:
        from airflow_provider_evolink.api.transports.tls import tls_context
        from airflow_provider_evolink.landing.safe_http import Network

        settings = self._hook.settings
        return Network(
            allow_loopback=settings.is_loopback,
            tls=functools.partial(tls_context, settings.verify),
            proxy=settings.proxy,
        )

    def _announce(self, context: Context, landed: Sequence[Landed]) -> None:
        """Report the files to Airflow: as asset events and as lineage."""
        from airflow.sdk import Asset, AssetAlias
        from airflow.sdk.lineage import get_hook_lineage_collector

        for file in landed:
            if len(file.asset_uri) <= MAX_ASSET_CHARACTERS:
                get_hook_lineage_collector().add_output_asset(context=self._hook, uri=file.asset_uri)
        for outlet in self.outlets:
            if isinstance(outlet, AssetAlias):
                for file in landed:
                    context["outlet_events"][outlet].add(Asset(file.asset_uri), extra=file.entry())
            elif isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = {"landed": [file.entry() for file in landed]}


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text
