# SPDX-License-Identifier: Apache-2.0
"""Landing: a generation's results, out of EvoLink's short-lived links and into storage the user owns."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_evolink.api.errors import LandingInputError
from airflow_provider_evolink.compat import NEVER_EXPIRE, BaseOperator
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID, EvoLinkHook
from airflow_provider_evolink.landing.checkpoint import MAX_ASSET_CHARACTERS, asset_uri
from airflow_provider_evolink.landing.existing import OnExisting, on_existing_of
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN, Result, check
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
    """
    Copy every result of a generation into any object storage or file system, and return what lies where.

    Each file is fetched in constant memory, checked (size, kind by its first bytes, SHA-256) and gets its final name
    only when it is whole. A file that is already there and the same is left alone, and a retry does not even fetch
    it again. A file that this task has not written is never replaced unless ``on_existing`` says so. Nothing is ever
    generated again. The API key is not sent to the hosts of the results.

    A result that can't be landed does not keep the others from it: they land, and then the task ends with the error.
    After three in a row that a retry may mend, the rest is left to the retry. A file has an hour to come whole, all
    tries, waits and links together; ``execution_timeout`` bounds the whole. Bytes of no known kind land as what the
    server says they are, with a warning; pages, other text and archives are refused. A link over plain http is followed
    over https.

    A link that is dead, or gives a page instead of the file, is renewed once through the API (EvoLink's own client
    advises that; undocumented). Most links live for 24 hours (documented).

    Asset events: give an ``AssetAlias`` in ``outlets`` for one event for each file, with its entry of the returned
    list as extra; an ``Asset`` in ``outlets`` gets one event with the list as ``extra["landed"]``. For a fan-out
    (a mapped task, many runs) take the alias: of several events for the same ``Asset`` a consumer's run may get the
    first only, and the rest with the next run.

    :param generation: the record that ``EvoLinkGenerateOperator`` returns (``generate.output``), a list of records
        (of a mapped task), or a generation's id. An id, or a record made before the end, costs one free read.
    :param destination: the folder: an absolute path, a URI such as ``s3://conn_id@bucket/videos``, or an
        ``ObjectStoragePath``. Folders are made; a bucket is not. What can be known about it without a request is
        checked before anything is fetched.
    :param filename_pattern: what files are called in there: ``{generation_id}``, ``{index}`` (from 0; also
        ``{index:03d}``), ``{ext}``, ``{kind}`` (video, audio, image), ``{role}`` (result; cover, of a song or a video;
        preview) and ``{model}``, in single braces, and ``/`` for folders.
    :param on_existing: what happens to a file under a result's name that this task instance has not written, or that
        was changed since: ``fail`` (default) leaves it alone and ends the task with the facts, ``replace`` puts the
        result in its place, ``skip`` leaves it alone and the result out of what is returned. The same bytes count as
        landed in any case.
    :param evolink_conn_id: connection of type ``evolink``. Results may lie on this machine only if its host does;
        its ``verify`` and ``proxy`` are used for the results' hosts too.
    :return: ``[{uri, bytes, sha256, content_type, generation_id}]`` in the order of the results; empty if the
        model makes no files. ``uri`` holds no connection id.
    :raises EvoLinkFailException: bad input, a link that is dead for good or unsafe, a generation that failed, another
        file under a result's name, or storage that refuses the connection. A retry would meet the same.
    :raises LandingError: it could not be fetched or written, or EvoLink lists no file of a completed generation; a
        retry asks again and goes on with what is missing.
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
            on_existing_of(on_existing)
            if isinstance(destination, str) and not _is_template(destination):
                check_form(destination)
        self.generation: Any = generation
        self.destination: Any = destination
        self.filename_pattern = filename_pattern
        self.on_existing = on_existing
        self.evolink_conn_id = evolink_conn_id

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Land every result, one after the other; if one fails, the others land before the task ends with its error."""
        with airflow_errors():
            on_existing = on_existing_of(self.on_existing)
            place = self._target()
            failures, given = Failures(), generations_in(self.generation)
            if not given:
                self.log.warning("No generation was given: upstream made none, or all of it failed. Nothing is landed.")
            known = failures.each(given.items(), lambda one: self._results(*one))
            results = [result for of_one in known for result in of_one]
            self._check_names(place, check(self.filename_pattern, results))
            landed = list(filter(None, failures.each(results, self._lander(context, place, on_existing).land)))
            failures.raise_any()
        self._announce(context, landed)
        return [one.entry() for one in landed]

    @cached_property
    def _hook(self) -> EvoLinkHook:
        return EvoLinkHook(self.evolink_conn_id)

    def _target(self) -> StorageTarget:
        from airflow_provider_evolink.landing.storage_target import storage_target

        return storage_target(self.destination)

    def _check_names(self, place: StorageTarget, names: Sequence[str]) -> None:
        """Refuse names that Airflow can't tell of, before anything is fetched; without an alias nobody needs it."""
        from airflow.sdk import AssetAlias

        if not any(isinstance(outlet, AssetAlias) for outlet in self.outlets):
            return
        longest = max((len(asset_uri(f"{place.uri}/{name}")) for name in names), default=0)
        if longest > MAX_ASSET_CHARACTERS:
            problem = (
                f"an asset's URI would have {longest} characters, nine for each one of Chinese, say, and Airflow takes "
                f"{MAX_ASSET_CHARACTERS}: shorten the path, or take the AssetAlias out of outlets"
            )
            raise LandingInputError("destination", str(self.destination), problem)

    def _results(self, generation_id: str, record: Mapping[str, Any] | None) -> list[Result]:
        known = results_of(record) if record is not None else None
        if record is None or known is None or (not known and expects_files(record)):
            # EvoLink may know more by now than the record did: its end, or files that were not listed yet.
            record = self._read_record(generation_id, record or {})
            known = results_of(record) or []
        if not known:
            check_empty(record)
            self.log.info("Generation %s made no files, as its model does: there is nothing to land.", generation_id)
        return known

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

    def _lander(self, context: Context, place: StorageTarget, on_existing: OnExisting) -> Lander:
        from airflow_provider_evolink.landing.checkpoint import Checkpoint
        from airflow_provider_evolink.landing.lander import Lander

        return Lander(
            destination=place,
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
        """Tell those who wait for the files: by asset events, and by lineage."""
        from airflow.sdk import Asset, AssetAlias
        from airflow.sdk.lineage import get_hook_lineage_collector

        for landed_file in landed:
            if len(landed_file.asset_uri) <= MAX_ASSET_CHARACTERS:
                get_hook_lineage_collector().add_output_asset(context=self._hook, uri=landed_file.asset_uri)
        for outlet in self.outlets:
            if isinstance(outlet, AssetAlias):
                for landed_file in landed:
                    context["outlet_events"][outlet].add(Asset(landed_file.asset_uri), extra=landed_file.entry())
            elif isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = {"landed": [one.entry() for one in landed]}


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text
