# SPDX-License-Identifier: Apache-2.0
"""
Remembers what a task has landed, so that its next try need not fetch it again.

A note only saves work: if it is missing, unreadable or wrong, the result is fetched and compared.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from string import printable
from typing import Any
from urllib.parse import quote

from airflow_provider_evolink.landing.kinds import Kind
from airflow_provider_evolink.landing.names import Result

log = logging.getLogger(__name__)

KEY = "evolink_landing"


@dataclass(frozen=True, slots=True)
class Landed:
    """
    A result that lies in its place.

    :param uri: where, without connection id.
    :param bytes: its size.
    :param sha256: in hexadecimal.
    :param content_type: told by its bytes.
    :param generation_id: whose it is.
    :param extension: the name ending for its kind.
    """

    uri: str
    bytes: int
    sha256: str
    content_type: str
    generation_id: str
    extension: str

    @property
    def kind(self) -> Kind:
        """What kind of file it is."""
        return Kind(self.extension, self.content_type)

    @property
    def asset_uri(self) -> str:
        """The URI in ASCII, as some databases of Airflow need it."""
        return quote(self.uri, safe=printable)

    def entry(self) -> dict[str, Any]:
        """Return what the operator returns for it."""
        entry = asdict(self)
        del entry["extension"]
        return entry


class Notes:
    """
    What has been landed, by generation and index.

    :param store: Airflow's ``task_state_store``; ``None`` where there is none.
    :param retention: how long the store shall keep it.
    """

    def __init__(self, store: Any | None, retention: timedelta) -> None:
        self._store = store
        self._retention = retention
        self._notes = self._read()

    def get(self, result: Result) -> Landed | None:
        """Return what an earlier try has noted about a result."""
        noted = self._notes.get(_name(result))
        if not isinstance(noted, Mapping):
            return None
        try:
            landed = Landed(**noted)
        except TypeError:
            return None
        texts = (landed.sha256, landed.content_type, landed.extension)
        is_sound = all(isinstance(text, str) for text in texts) and landed.extension.isalnum()
        return replace(landed, generation_id=result.generation_id) if is_sound else None

    def put(self, result: Result, landed: Landed) -> None:
        """Note a landed result at once."""
        self._notes[_name(result)] = asdict(landed)
        if self._store is None:
            return
        try:
            self._store.set(KEY, self._notes, retention=self._retention)
        except Exception as error:
            log.warning("The note about %s could not be written (%s); a retry would fetch it again.", result, error)

    def _read(self) -> dict[str, Any]:
        if self._store is None:
            return {}
        try:
            noted = self._store.get(KEY)
        except Exception as error:
            log.warning("What earlier tries have landed could not be read (%s); everything is compared.", error)
            return {}
        return dict(noted) if isinstance(noted, Mapping) else {}


def _name(result: Result) -> str:
    return f"{result.generation_id}/{result.index}"
