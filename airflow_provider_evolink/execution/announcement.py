# SPDX-License-Identifier: Apache-2.0
"""Report landed files to Airflow: as asset events, and to whatever reads the lineage of hooks."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from airflow_provider_evolink.compat import hook_lineage_collector
from airflow_provider_evolink.landing.asset_names import AssetKey
from airflow_provider_evolink.landing.checkpoint import MAX_ASSET_CHARACTERS

if TYPE_CHECKING:
    from airflow.sdk import AssetAlias, BaseHook, Context

    from airflow_provider_evolink.execution.account import Account
    from airflow_provider_evolink.landing.checkpoint import Landed

log = logging.getLogger(__name__)

GROUP: Final = "evolink"
_MAX_PROMPT = 200
# A link may have a token in its query.
_QUERY = re.compile(r"(\b\w+://[^\s?#]*)[?#]\S*")


class Announcement:
    """What Airflow learns of a task that lands files.

    An ``AssetAlias`` in ``outlets`` gets one event per file, an ``Asset`` one event with the summary. Airflow creates
    them if the task succeeds.

    :param outlets: of the task.
    :param context: of this try.
    :param hook: the account, which stands for the task in the lineage of hooks.
    """

    def __init__(self, outlets: Sequence[Any], context: Context, hook: Account) -> None:
        from airflow.sdk import AssetAlias

        self._context = context
        self._outlets = outlets
        self._hook = hook
        self._aliases: list[AssetAlias] = [outlet for outlet in outlets if isinstance(outlet, AssetAlias)]
        self._events: list[tuple[AssetKey, dict[str, Any]]] = []

    @property
    def is_awaited(self) -> bool:
        """Whether anything takes note of single files."""
        return bool(self._aliases) or self._collector is not None

    def add(self, file: Landed, origin: Mapping[str, Any], key: AssetKey | None = None) -> None:
        """Take note of a file; one whose asset would have too long a URI gets no event.

        :param origin: what the extra of its event says besides, see :func:`origin_of`.
        :param key: of its asset; ``None`` = the file's own URI.
        """
        self._report_lineage(file.asset_uri)
        key = key or AssetKey(file.asset_uri, file.asset_uri)
        if self._aliases and len(key.uri) <= MAX_ASSET_CHARACTERS:
            self._events.append((key, {**file.entry(), **origin}))

    def publish(self, summary: Mapping[str, Any]) -> None:
        """Add the asset events.

        :param summary: the extra of an ``Asset``.
        """
        from airflow.sdk import Asset

        for alias in self._aliases:
            for key, extra in self._events:
                self._context["outlet_events"][alias].add(Asset(*key, group=GROUP), extra=extra)
        for outlet in self._outlets:
            if isinstance(outlet, Asset):
                self._context["outlet_events"][outlet].extra = dict(summary)

    def _report_lineage(self, uri: str) -> None:
        """Report the file to whatever reads the lineage of hooks."""
        if self._collector is None or len(uri) > MAX_ASSET_CHARACTERS:
            return
        try:
            self._collector.add_output_asset(context=cast("BaseHook", self._hook), uri=uri)
        except Exception as error:
            log.warning("The lineage of %s could not be reported (%r). The file has landed.", uri, error)

    @cached_property
    def _collector(self) -> Any | None:
        try:
            return hook_lineage_collector()
        except Exception as error:
            log.warning("The lineage of files can't be reported (%r). They land all the same.", error)
            return None


def origin_of(*, model: str | None, credits_used: float | None, prompt: object = None) -> dict[str, Any]:
    """Return what an asset event says about a file besides where it is: ``{model, credits, prompt}``.

    :param credits_used: for its generation, with all its files.
    :param prompt: see :func:`shortened_prompt`.
    :return: without what is unknown.
    """
    known = {"model": model, "credits": credits_used, "prompt": shortened_prompt(prompt)}
    return {name: value for name, value in known.items() if value is not None}


def shortened_prompt(prompt: object) -> str | None:
    """Return a prompt on one line of at most 200 characters; links in it lose their query, which may hold a token.

    :return: ``None`` if it is no text, or empty.
    """
    text = " ".join(prompt.split()) if isinstance(prompt, str) else ""
    if "://" in text:
        text = _QUERY.sub(r"\1", text)
    shortened = text if len(text) <= _MAX_PROMPT else f"{text[: _MAX_PROMPT - 3].rstrip()}..."
    return shortened or None
