# SPDX-License-Identifier: Apache-2.0
"""Decide whether a task that lands draws posters: if they are not switched off, and PyAV is installed."""

from __future__ import annotations

import functools
import logging
from importlib.util import find_spec

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.compat import conf
from airflow_provider_evolink.posters.painter import Painter

log = logging.getLogger(__name__)

# As Airflow writes them.
_TRUE, _FALSE = frozenset({"true", "t", "1"}), frozenset({"false", "f", "0"})


def are_on() -> bool:
    """Return whether posters are drawn where PyAV is installed: ``[evolink] posters``, true by default.

    :raises InvalidInputError: the option is neither true nor false.
    """
    text = str(conf.get("evolink", "posters", fallback=None) or "true").strip()
    if text.lower() not in _TRUE | _FALSE:
        raise InvalidInputError("[evolink] posters", text, "true or false")
    return text.lower() in _TRUE


def painter() -> Painter | None:
    """Return what draws the posters of a task; ``None`` if there are to be none.

    :raises InvalidInputError: ``[evolink] posters`` is neither true nor false.
    """
    if not are_on():
        return None
    if find_spec("av") is None:
        _report_missing()
        return None
    return Painter()


@functools.cache
def _report_missing() -> None:
    """Report it once: Airflow gives each try of a task a process of its own."""
    log.info('No posters, since PyAV is not installed: pip install "airflow-provider-evolink[posters]".')
