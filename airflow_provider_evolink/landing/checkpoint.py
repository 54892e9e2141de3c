# SPDX-License-Identifier: Apache-2.0
"""Remember what a task has landed, so that a retry need not download it again, and may replace it.

Entries are a write-ahead record: each is stored before its file gets its name, so a task that is killed in between
still recognizes its own file. An entry is never trusted without checking the file. If it is missing, unreadable or
wrong, the result is downloaded again and compared.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import quote

from airflow_provider_evolink.landing.filenames import Result
from airflow_provider_evolink.landing.media_types import MediaType
from airflow_provider_evolink.posters.stamp import SUFFIX as POSTER_SUFFIX
from airflow_provider_evolink.types import LandedFile

log = logging.getLogger(__name__)

STORE_KEY = "evolink_landing"
# Airflow's limit for an asset's name or URI.
MAX_ASSET_CHARACTERS = 1500
# What a URI may contain as it is (RFC 3986), without the characters that would end its path.
_SAFE_IN_URI = ":/[]@!$&'()*+,;="


@dataclass(frozen=True, slots=True)
class Landed:
    """A result that has landed.

    :param uri: of the file, without connection id.
    :param bytes: its size.
    :param sha256: in hexadecimal.
    :param content_type: identified by its bytes.
    :param generation_id: the generation it is a result of.
    :param extension: of file names of its media type, without the dot.
    :param storage_conn_id: the connection that the destination named; ``None`` if it named none. It is no part of the
        file.
    :param has_poster: whether its poster lies beside it. The checkpoint does not know: the poster comes later.
    """

    uri: str
    bytes: int
    sha256: str
    content_type: str
    generation_id: str
    extension: str
    storage_conn_id: str | None = field(default=None, compare=False)
    has_poster: bool = field(default=False, compare=False)

    @property
    def media_type(self) -> MediaType:
        """Its media type."""
        return MediaType(self.extension, self.content_type)

    @property
    def asset_uri(self) -> str:
        """Its URI in the form Airflow's assets accept."""
        return asset_uri(self.uri)

    @property
    def poster(self) -> str | None:
        """The URI of its poster."""
        return f"{self.uri}{POSTER_SUFFIX}" if self.has_poster else None

    def entry(self) -> LandedFile:
        """Return its entry in the operator's return value."""
        return {
            "uri": self.uri,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "content_type": self.content_type,
            "generation_id": self.generation_id,
            "storage_conn_id": self.storage_conn_id,
            "poster": self.poster,
        }


def asset_uri(uri: str) -> str:
    """Quote a URI: in ASCII, which some of Airflow's databases need, and without what no URI's path may contain."""
    return quote(uri, safe=_SAFE_IN_URI)


class Memory(Protocol):
    """What has landed, or was about to land; see :class:`Checkpoint`."""

    def get(self, result: Result) -> Landed | None: ...  # noqa: D102
    def written_to(self, uri: str) -> list[Landed]: ...  # noqa: D102
    def uploads_to(self, uri: str) -> list[str]: ...  # noqa: D102
    def put(self, result: Result, landed: Landed, *, written: bool, upload_id: str | None = None) -> None: ...  # noqa: D102


class Checkpoint:
    """What a task has landed, or was about to land, by generation and index.

    :param store: Airflow's ``task_state_store``; ``None`` where there is none.
    :param retention: how long the store keeps it.
    :param name: its store key.
    """

    def __init__(self, store: Any | None, retention: timedelta, *, name: str = STORE_KEY) -> None:
        self._store = store
        self._retention = retention
        self._name = name
        self._entries = self._read()

    def get(self, result: Result) -> Landed | None:
        """Return the entry of a result."""
        landed = _parse(self._entries.get(_entry_key(result)))
        return replace(landed, generation_id=result.generation_id) if landed else None

    def written_to(self, uri: str) -> list[Landed]:
        """Return every file that this task has written to a URI, or was about to write."""
        return [landed for entry, landed in self._entries_at(uri) if entry.get("written", True)]

    def uploads_to(self, uri: str) -> list[str]:
        """Return the ids of this task's multipart uploads to a URI, finished or not."""
        upload_ids = [entry.get("upload_id") for entry, _ in self._entries_at(uri)]
        return [upload_id for upload_id in upload_ids if upload_id and isinstance(upload_id, str)]

    def put(self, result: Result, landed: Landed, *, written: bool, upload_id: str | None = None) -> None:
        """Store at once where a result has landed, or is about to.

        :param written: whether this task writes it; an identical file that it did not write must not be replaced later.
        :param upload_id: of the multipart upload, on an object store.
        """
        self._entries[_entry_key(result)] = {**asdict(landed), "written": written, "upload_id": upload_id}
        if self._store is None:
            return
        try:
            self._store.set(self._name, self._entries, retention=self._retention)
        except Exception as error:
            log.warning(
                "The checkpoint of %s could not be stored (%s); a retry downloads the result again.", result, error
            )

    def _entries_at(self, uri: str) -> Iterator[tuple[Mapping[str, Any], Landed]]:
        for entry in self._entries.values():
            landed = _parse(entry)
            if landed is not None and landed.uri == uri:
                yield entry, landed

    def _read(self) -> dict[str, Any]:
        if self._store is None:
            return {}
        try:
            entries = self._store.get(self._name)
        except Exception as error:
            log.warning(
                "The checkpoint of earlier attempts could not be read (%s); every result is downloaded and compared.",
                error,
            )
            return {}
        return dict(entries) if isinstance(entries, Mapping) else {}


def _parse(entry: object) -> Landed | None:
    if not isinstance(entry, Mapping):
        return None
    try:
        landed = Landed(**{name: value for name, value in entry.items() if name not in {"written", "upload_id"}})
    except TypeError:
        return None
    texts = (landed.uri, landed.sha256, landed.content_type, landed.extension)
    is_valid = all(isinstance(text, str) for text in texts) and landed.extension.isalnum()
    return landed if is_valid else None


def _entry_key(result: Result) -> str:
    return f"{result.generation_id}/{result.index}"
