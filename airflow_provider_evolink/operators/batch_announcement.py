# SPDX-License-Identifier: Apache-2.0
"""Report many files to Airflow: as asset events and as lineage; and a batch's manifest as a link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_evolink.landing.checkpoint import MAX_ASSET_CHARACTERS
from airflow_provider_evolink.links.evolink import MANIFEST_LINK_KEY

if TYPE_CHECKING:
    from airflow.sdk import AssetAlias, Context

    from airflow_provider_evolink.batch.entry import RowEntry
    from airflow_provider_evolink.hooks.evolink import EvoLinkHook
    from airflow_provider_evolink.landing.checkpoint import Landed


class Announcement:
    """What Airflow learns of a task that lands many files.

    An ``AssetAlias`` in ``outlets`` gets one event per file, an ``Asset`` one event with the summary.
    """

    def __init__(self, outlets: Sequence[Any], context: Context, hook: EvoLinkHook) -> None:
        from airflow.sdk import AssetAlias
        from airflow.sdk.lineage import get_hook_lineage_collector

        self._context = context
        self._outlets = outlets
        self._hook = hook
        self._lineage = get_hook_lineage_collector()
        self._aliases: list[AssetAlias] = [outlet for outlet in self._outlets if isinstance(outlet, AssetAlias)]
        self._files: list[Landed] = []

    def add(self, entry: RowEntry) -> None:
        """Take note of a row's files."""
        self.add_files(entry.landed)

    def add_files(self, files: Iterable[Landed]) -> None:
        """Take note of files; those whose URI is too long for an asset are left out."""
        for file in files:
            if len(file.asset_uri) > MAX_ASSET_CHARACTERS:
                continue
            self._lineage.add_output_asset(context=self._hook, uri=file.asset_uri)
            if self._aliases:
                self._files.append(file)

    def link(self, manifest: str) -> None:
        """Let the task's page link to the manifest."""
        self._context["ti"].xcom_push(key=MANIFEST_LINK_KEY, value=manifest)

    def publish(self, summary: Mapping[str, Any]) -> None:
        """Add the asset events, which Airflow creates if the task succeeds."""
        from airflow.sdk import Asset

        for alias in self._aliases:
            for file in self._files:
                self._context["outlet_events"][alias].add(
                    Asset(file.asset_uri), extra=cast("dict[str, Any]", file.entry())
                )
        for outlet in self._outlets:
            if isinstance(outlet, Asset):
                self._context["outlet_events"][outlet].extra = cast("dict[str, Any]", dict(summary))
