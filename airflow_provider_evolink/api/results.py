# SPDX-License-Identifier: Apache-2.0
"""Decide whether a generation has results to collect, or can still have them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_evolink.api import catalog

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation


def has_results(generation: Generation, model: str | None) -> bool:
    """Return whether a completed generation has what its model makes.

    That is a usable link, unless the model is documented to complete without files. What a model outside the catalog
    makes is unknown: a link or any ``result_data`` suffices.

    :param model: the requested model, for a generation that does not name its own.
    """
    name = generation.model or model or ""
    is_known = catalog.find(name) is not None
    return (
        any(map(_is_web_link, generation.links))
        or not catalog.makes_files(name)
        or (not is_known and bool(generation.result_data))
    )


def results_expire_at(submitted_at: float, model: str | None) -> float:
    """Return when result links would expire if the results had been ready at once, in seconds since the epoch.

    A generation that has not finished by then is no longer worth waiting for.

    :param submitted_at: seconds since the epoch.
    """
    return submitted_at + catalog.link_life(model or "").total_seconds()


def _is_web_link(link: str) -> bool:
    try:
        parts = urlsplit(link)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
