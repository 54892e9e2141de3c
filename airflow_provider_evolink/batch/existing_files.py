# SPDX-License-Identifier: Apache-2.0
"""Find the files of a row at the destination, without a request for each row."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, takewhile
from string import Formatter
from typing import NamedTuple

from airflow_provider_evolink.batch.names import has_generation_id
from airflow_provider_evolink.landing.storage_errors import is_missing_folder, list_error
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.posters.stamp import SUFFIX

# Folders whose names are kept: those that all rows share stay, since every row asks for them.
_KEPT_FOLDERS = 64
_LEFTOVER = ".evolink-"
_FORMS = {
    "index": "[0-9]+",
    "ext": "[A-Za-z0-9]+",
    "model": "[A-Za-z0-9._-]+",
    "kind": "[a-z]+",
    "role": "[a-z]+",
}


class ExistingFile(NamedTuple):
    """A file at a destination that may be a row's result.

    :param has_poster: whether a file beside it has the name of its poster.
    """

    uri: str
    has_poster: bool = False

    @property
    def poster(self) -> str | None:
        """The URI of its poster."""
        return f"{self.uri}{SUFFIX}" if self.has_poster else None


@dataclass(frozen=True, slots=True)
class _Listing:
    """The names in a folder, sorted."""

    folders: Sequence[str] = ()
    files: Sequence[str] = ()


class ExistingFiles:
    """The files at a destination, as they were when they were first asked for.

    :param destination: the folder that patterns are relative to.
    """

    def __init__(self, destination: StorageTarget) -> None:
        self._destination = destination
        self._listing = lru_cache(maxsize=_KEPT_FOLDERS)(self._list)

    def of(self, pattern_of_row: str) -> list[ExistingFile]:
        """Return the files that may be a row's results, sorted.

        :param pattern_of_row: made by :func:`~airflow_provider_evolink.batch.names.row_pattern`. Whatever a field of a
            result can be matches; ``{generation_id}``, which is new with every generation, matches nothing.
        :raises StorageRefusedError: the storage denies access, or has no such bucket. A retry is refused again.
        :raises LandingError: a folder can't be listed. A retry lists it again.
        """
        if has_generation_id(pattern_of_row):
            return []
        names = self._matches("", pattern_of_row.split("/"))
        return [ExistingFile((self._destination / name).uri, has_poster) for name, has_poster in names]

    def _matches(self, folder: str, parts: list[str]) -> Iterator[tuple[str, bool]]:
        listing = self._listing(folder)
        part, *rest = parts
        for name in _select(part, listing.folders if rest else listing.files):
            if rest:
                yield from self._matches(f"{folder}{name}/", rest)
            else:
                yield folder + name, _contains(listing.files, f"{name}{SUFFIX}")

    def _list(self, folder: str) -> _Listing:
        target = self._destination / folder.removesuffix("/") if folder else self._destination
        try:
            entries = sorted(_local_entries(target) if target.is_local else _entries(target))
        except Exception as error:
            if is_missing_folder(error):
                return _Listing()
            raise list_error(target, error) from error
        return _Listing(
            [name for name, is_folder in entries if is_folder],
            [name for name, is_folder in entries if not is_folder and not name.startswith(_LEFTOVER)],
        )


def _local_entries(folder: StorageTarget) -> Iterator[tuple[str, bool]]:
    with os.scandir(folder.path) as entries:
        yield from ((entry.name, entry.is_dir()) for entry in entries)


def _entries(folder: StorageTarget) -> Iterator[tuple[str, bool]]:
    start = f"{folder.path.strip('/')}/"
    # Listings would otherwise come from fsspec's cache, and stay in memory there.
    folder.fs.invalidate_cache(folder.path)
    entries = folder.fs.ls(folder.path, detail=True)
    folder.fs.invalidate_cache(folder.path)
    for entry in entries:
        path = entry["name"].strip("/")
        if path.startswith(start):
            yield path.removeprefix(start), entry["type"] == "directory"


def _select(part: str, names: Sequence[str]) -> Iterator[str]:
    """Yield the names that match what is between two slashes of a pattern, without those of posters of such files."""
    pieces = [(text, field) for text, field, _, _ in Formatter().parse(part)]
    candidates = _starting_with(_literal_start(pieces), names)
    if candidates:
        form = re.compile("".join(re.escape(text) + (_FORMS[field] if field else "") for text, field in pieces))
        yield from (name for name in candidates if form.fullmatch(name) and not _is_poster(name, form))


def _is_poster(name: str, form: re.Pattern[str]) -> bool:
    return name.endswith(SUFFIX) and form.fullmatch(name.removesuffix(SUFFIX)) is not None


def _literal_start(pieces: Sequence[tuple[str, str | None]]) -> str:
    start = ""
    for text, field in pieces:
        start += text
        if field is not None:
            break
    return start


def _contains(names: Sequence[str], name: str) -> bool:
    index = bisect_left(names, name)
    return index < len(names) and names[index] == name


def _starting_with(start: str, names: Sequence[str]) -> list[str]:
    first = bisect_left(names, start)
    return list(takewhile(lambda name: name.startswith(start), islice(names, first, None)))
