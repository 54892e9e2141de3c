# SPDX-License-Identifier: Apache-2.0
"""Landing: a generation's results, out of EvoLink's short-lived links and into storage the user owns."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.compat import NEVER_EXPIRE, BaseOperator, task_state_store
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID, EvoLinkHook
from airflow_provider_evolink.landing.names import DEFAULT_PATTERN, Result, check
from airflow_provider_evolink.landing.wanted import check_finished, generations_in, results_of

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_evolink.landing.land import Lander
    from airflow_provider_evolink.landing.notes import Landed
    from airflow_provider_evolink.landing.source import Network
    from airflow_provider_evolink.landing.storage import Place


class EvoLinkToObjectStorageOperator(BaseOperator):
    """
    Copy every result of a generation into any object storage or file system, and return what lies where.

    Each file is fetched in constant memory, checked (size, kind by its first bytes, SHA-256) and gets its final name
    only when it is whole. A file that is already there and the same is left alone, and a retry does not even fetch
    it again. Nothing is ever generated again. The API key is not sent to the hosts of the results.

    A file that has not come whole within an hour, all tries and waits together, ends the try with an error. Bytes of no
    known kind land as what the server says they are, with a warning; pages, other text and archives are refused. A link
    over plain http is followed over https.

    A dead link is renewed once through the API (EvoLink's own client advises that; undocumented). Most links live
    for 24 hours (documented).

    Asset events: give an ``AssetAlias`` in ``outlets`` for one event for each file, with its entry of the returned
    list as extra; an ``Asset`` in ``outlets`` gets one event with the list as ``extra["landed"]``.

    :param generation: the record that ``EvoLinkGenerateOperator`` returns (``generate.output``), a list of records
        (of a mapped task), or a generation's id. An id, or a record made before the end, costs one free read.
    :param destination: the folder: a path, a URI such as ``s3://conn_id@bucket/videos``, or an
        ``ObjectStoragePath``. Folders are made; a bucket is not.
    :param filename_pattern: what files are called in there: ``{generation_id}``, ``{index}`` (from 0; also
        ``{index:03d}``), ``{ext}``, ``{kind}`` (video, audio, image), ``{role}`` (result; cover, of a song or a video;
        preview) and ``{model}``, in single braces, and ``/`` for folders.
    :param evolink_conn_id: connection of type ``evolink``. Results may lie on this machine only if its host does;
        its ``verify`` and ``proxy`` are used for the results' hosts too.
    :return: ``[{uri, bytes, sha256, content_type, generation_id}]`` in the order of the results; empty if the
        generation made no files. ``uri`` holds no connection id.
    :raises EvoLinkFailException: bad input, a link that is dead for good or unsafe, or a generation that failed.
    :raises LandingError: it could not be fetched or written; a retry goes on with what is missing.
    """

    template_fields: Sequence[str] = ("generation", "destination", "filename_pattern", "evolink_conn_id")
    ui_color = "#e9e2ff"

    def __init__(
        self,
        *,
        generation: Mapping[str, Any] | Sequence[Mapping[str, Any] | str] | str | XComArg,
        destination: str | ObjectStoragePath | XComArg,
        filename_pattern: str = DEFAULT_PATTERN,
        evolink_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.generation: Any = generation
        self.destination: Any = destination
        self.filename_pattern = filename_pattern
        self.evolink_conn_id = evolink_conn_id

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Land every result, one after the other; what is landed stays landed if a later one fails."""
        with airflow_errors():
            place = self._place()
            results = [
                result
                for generation_id, record in generations_in(self.generation).items()
                for result in self._results(generation_id, record)
            ]
            check(self.filename_pattern, results)
            lander = self._lander(context, place)
            landed = [lander.land(result) for result in results]
        self._announce(context, landed)
        return [one.entry() for one in landed]

    @cached_property
    def _hook(self) -> EvoLinkHook:
        return EvoLinkHook(self.evolink_conn_id)

    def _place(self) -> Place:
        from airflow_provider_evolink.landing.storage import place_of

        return place_of(self.destination)

    def _results(self, generation_id: str, record: Mapping[str, Any] | None) -> list[Result]:
        known = results_of(record) if record is not None else None
        results = known if known is not None else self._asked_for(generation_id)
        if not results:
            self.log.info("Generation %s is completed without files: there is nothing to land.", generation_id)
        return results

    def _asked_for(self, generation_id: str) -> list[Result]:
        from airflow_provider_evolink.result import Origin, record_of

        seen = self._hook.get_generation(generation_id)
        check_finished(generation_id, seen.status)
        now = time.time()
        return results_of(record_of(seen, Origin(submitted_at=min(seen.created or now, now)), now=now)) or []

    def _renew(self, result: Result) -> str | None:
        links = self._hook.get_generation(result.generation_id).links
        return links[result.index] if result.index < len(links) else None

    def _lander(self, context: Context, place: Place) -> Lander:
        from airflow_provider_evolink.landing.land import Lander
        from airflow_provider_evolink.landing.notes import Notes

        return Lander(
            destination=place,
            pattern=self.filename_pattern,
            network=self._network(),
            notes=Notes(task_state_store(context), NEVER_EXPIRE),
            renew=self._renew,
        )

    def _network(self) -> Network:
        from airflow_provider_evolink.api.transport import tls_context
        from airflow_provider_evolink.landing.source import Network

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

        for one in landed:
            get_hook_lineage_collector().add_output_asset(context=self._hook, uri=one.asset_uri)
        for outlet in self.outlets:
            if isinstance(outlet, AssetAlias):
                for one in landed:
                    context["outlet_events"][outlet].add(Asset(one.asset_uri), extra=one.entry())
            elif isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = {"landed": [one.entry() for one in landed]}
