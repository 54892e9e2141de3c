# SPDX-License-Identifier: Apache-2.0
"""Whether there is, or can still be, something to collect from a generation. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_evolink.api import catalog

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation


def has_results(generation: Generation, model: str | None) -> bool:
    """
    Whether a completed generation has what its model makes: a link that can be followed, or data where there is none.

    What a model makes that is not in the catalogue is not known, so data will do.
    """
    name = generation.model or model or ""
    is_known = catalog.find(name) is not None
    return (
        any(map(_is_web_link, generation.links))
        or not catalog.makes_files(name)
        or (not is_known and bool(generation.result_data))
    )


def results_expire_at(submitted_at: float, model: str | None) -> float:
    """
    Return the moment from which results that were made at once would be dead, in seconds since the epoch.

    A generation that has not come to an end by then is not worth waiting for any more.
    """
    return submitted_at + catalog.link_life(model or "").total_seconds()


def _is_web_link(link: str) -> bool:
    try:
        parts = urlsplit(link)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
