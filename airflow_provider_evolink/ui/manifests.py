# SPDX-License-Identifier: Apache-2.0
"""Read the manifests of batches, as far as they lie below the configured roots. Everything here blocks."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import Any

from airflow_provider_evolink.ui.entries import ManifestError, entry_count
from airflow_provider_evolink.ui.file_systems import FileSystems
from airflow_provider_evolink.ui.roots import NotShownError, configured_roots, locate
from airflow_provider_evolink.ui.stored_files import StorageError, StoredFile, open_file

# As much is read of a manifest. A line has 500 to 1,000 bytes, but anybody may have written it.
MAX_BYTES = 16 * 2**20
MAX_LINES = 50_000
_PART_BYTES = 2**20
_KEPT = 4


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What was read of a manifest, with an index, so that an entry far down is found without the lines above it.

    :param lines: those that are JSON objects.
    :param numbers: of the first entry of each.
    :param is_whole: whether these are all.
    """

    lines: Sequence[bytes]
    numbers: Sequence[int]
    is_whole: bool

    def start(self, number: int) -> int:
        """Return the index of the line that has an entry; the last line if none has."""
        return max(0, bisect_right(self.numbers, number) - 1)

    def parsed(self, start: int) -> Iterator[Mapping[str, Any]]:
        """Yield the lines from an index on."""
        for line in self.lines[start:]:
            yield json.loads(line)
        if not self.is_whole:
            raise ManifestError("The rest of the batch is not shown: its manifest is too large.")


@dataclass
class Manifests:
    """The manifests that were read last. Safe to share among threads."""

    file_systems: FileSystems
    _kept: OrderedDict[tuple[str, str], _Manifest] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def lines(self, uri: str, number: int) -> tuple[Iterator[Mapping[str, Any]], int]:
        """Return the lines of a manifest from the one that has an entry on; what is no JSON object is left out.

        :param number: of the entry.
        :return: the lines, which end in a :class:`ManifestError` if the manifest is too large to be read as a whole,
            and the number of the first entry of the first.
        :raises ManifestError: it may not be read, or can't be read.
        """
        try:
            file = open_file(locate(uri, None, configured_roots()), self.file_systems)
            manifest = self._manifest((uri, file.version), file)
        except (NotShownError, StorageError) as error:
            raise ManifestError(f"The batch's manifest can't be read. {error}") from error
        start = manifest.start(number)
        return manifest.parsed(start), manifest.numbers[start] if manifest.numbers else 0

    def _manifest(self, version: tuple[str, str], file: StoredFile) -> _Manifest:
        with self._lock:
            if (manifest := self._kept.get(version)) is not None:
                self._kept.move_to_end(version)
                return manifest
        manifest = _read(file)
        with self._lock:
            self._kept[version] = manifest
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return manifest


def _read(file: StoredFile) -> _Manifest:
    stop = min(file.size, MAX_BYTES)
    starts = range(0, stop, _PART_BYTES)
    content = BytesIO(b"".join(file.read(start, min(start + _PART_BYTES, stop)) for start in starts))
    lines, numbers, number = [], [], 0
    for line in islice(content, MAX_LINES):
        if (value := _parsed(line)) is not None:
            lines.append(line)
            numbers.append(number)
            number += entry_count(value)
    return _Manifest(lines, numbers, is_whole=content.tell() == file.size)


def _parsed(line: bytes) -> Mapping[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Mapping) else None
