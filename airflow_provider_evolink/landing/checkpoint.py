# SPDX-License-Identifier: Apache-2.0
"""
Remembers what a task lands, so that its next try need not fetch it again, and may replace it.

A note is written before the file gets its name: so a task that is killed in between still knows its own file. It is
never believed without a look at the file. If it is missing, unreadable or wrong, the result is fetched and compared.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from string import printable
from typing import Any
from urllib.parse import quote

from airflow_provider_evolink.landing.filenames import Result
from airflow_provider_evolink.landing.media_types import MediaType

log = logging.getLogger(__name__)

STORE_KEY = "evolink_landing"
# What Airflow takes as an asset's name or URI.
MAX_ASSET_CHARACTERS = 1500
_SAFE_IN_PATH = "".join(sorted(set(printable) - set("#?%")))


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
    def media_type(self) -> MediaType:
        """What kind of file it is."""
        return MediaType(self.extension, self.content_type)

    @property
    def asset_uri(self) -> str:
        """The URI as Airflow's assets take it."""
        return asset_uri(self.uri)

    def entry(self) -> dict[str, Any]:
        """Return what the operator returns for it."""
        entry = asdict(self)
        del entry["extension"]
        return entry


def asset_uri(uri: str) -> str:
    """Write a URI in ASCII, as some databases of Airflow need it, and without what would end a URI's path."""
    return quote(uri, safe=_SAFE_IN_PATH)


class Checkpoint:
    """
    What a task has landed, or was about to, by generation and index.

    :param store: Airflow's ``task_state_store``; ``None`` where there is none.
    :param retention: how long the store shall keep it.
    """

    def __init__(self, store: Any | None, retention: timedelta) -> None:
        self._store = store
        self._retention = retention
        self._notes = self._read()

    def get(self, result: Result) -> Landed | None:
        """Return what has been noted about a result."""
        landed = _landed(self._notes.get(_name(result)))
        return replace(landed, generation_id=result.generation_id) if landed else None

    def written_to(self, uri: str) -> list[Landed]:
        """Return every file that this task has written under a name, or was about to."""
        return [landed for row, landed in self._of(uri) if row.get("written", True)]

    def uploads_to(self, uri: str) -> list[str]:
        """Return the ids of this task's uploads to a name, whether they have ended or not."""
        uploads = [row.get("upload") for row, _ in self._of(uri)]
        return [upload for upload in uploads if upload and isinstance(upload, str)]

    def put(self, result: Result, landed: Landed, *, written: bool, upload: str | None = None) -> None:
        """
        Note at once where a result lies, or is about to.

        :param written: whether by this task; another's file may be the same, and is not to be replaced.
        :param upload: the id under which an object store knows the upload.
        """
        self._notes[_name(result)] = {**asdict(landed), "written": written, "upload": upload}
        if self._store is None:
            return
        try:
            self._store.set(STORE_KEY, self._notes, retention=self._retention)
        except Exception as error:
            log.warning("The note about %s could not be written (%s); a retry would fetch it again.", result, error)

    def _of(self, uri: str) -> Iterator[tuple[Mapping[str, Any], Landed]]:
        for row in self._notes.values():
            landed = _landed(row)
            if landed is not None and landed.uri == uri:
                yield row, landed

    def _read(self) -> dict[str, Any]:
        if self._store is None:
            return {}
        try:
            noted = self._store.get(STORE_KEY)
        except Exception as error:
            log.warning("What earlier tries have landed could not be read (%s); everything is compared.", error)
            return {}
        return dict(noted) if isinstance(noted, Mapping) else {}


def _landed(row: object) -> Landed | None:
    if not isinstance(row, Mapping):
        return None
    try:
        landed = Landed(**{name: value for name, value in row.items() if name not in {"written", "upload"}})
    except TypeError:
        return None
    texts = (landed.uri, landed.sha256, landed.content_type, landed.extension)
    is_sound = all(isinstance(text, str) for text in texts) and landed.extension.isalnum()
    return landed if is_sound else None


def _name(result: Result) -> str:
    return f"{result.generation_id}/{result.index}"
