# SPDX-License-Identifier: Apache-2.0
"""Read from the files of ``[evolink] ledger_path`` what a task has paid for that has returned nothing; it blocks.

Only the newest record of that very task instance is read, and what can't be read is left out of the page.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_evolink.api.sanitize import sanitize
from airflow_provider_evolink.execution.object_ledger import OPTION, instance_folder, ledger_path
from airflow_provider_evolink.landing.create_only import CreateOnlyFolder
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.submission.record import STORE_KEY
from airflow_provider_evolink.submission.record_log import RecordLog, Writer
from airflow_provider_evolink.ui.entries import Entry, completed, facts_of, lacks_facts
from airflow_provider_evolink.ui.file_systems import FileSystems
from airflow_provider_evolink.ui.roots import NotShownError, Root, locate, parse_root
from airflow_provider_evolink.ui.stored_files import file_in
from airflow_provider_evolink.ui.task_values import Selection

# A record has some 2 kB.
MAX_BYTES = 2**20
# Reads at the same time, of all pages: a storage takes two requests for each.
_THREADS = 8
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredLedgers:
    """The ledgers in files, if they are kept there. Safe to share among threads."""

    file_systems: FileSystems
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS))

    def completed(self, entries: Iterable[Entry], selection: Selection) -> list[Entry]:
        """Add what ledgers know about the generations of tasks that have failed, unless it is known already.

        :param selection: the run of the entries.
        """
        known = list(entries)
        path = ledger_path()
        if path is None or not any(map(lacks_facts, known)):
            return known
        try:
            root = parse_root(path)
            fs = None if root.is_local else self.file_systems.of(root)
        except Exception as error:
            _warn(OPTION, error)
            return known
        return list(self._pool.map(lambda entry: _completed(entry, _folder(root, fs, entry, selection)), known))


@dataclass(frozen=True, slots=True)
class _Folder(CreateOnlyFolder):
    """The records of a task instance, of which none is read that lies elsewhere or is too large."""

    own: Root

    def read(self, name: str) -> bytes:
        path = f"{self.own.path}/{name}"
        location = locate(f"{self.own.scheme}://{path}", None, (self.own,))
        if location.path != path:
            raise NotShownError("A symbolic link leads out of the folder.")
        file = file_in(self.target.fs, path)
        if file.size > MAX_BYTES:
            raise ValueError(f"{name} is too large for a record")
        return file.read(0, file.size)


def _folder(root: Root, fs: Any, entry: Entry, selection: Selection) -> _Folder:
    base = os.path.realpath(root.path) if root.is_local else root.path
    folder = instance_folder(selection.dag_id, entry.task_id, selection.run_id, entry.map_index)
    own = replace(root, path=f"{base}/{folder}/{STORE_KEY}")
    return _Folder(StorageTarget(fs, own.path, own.scheme), own)


def _completed(entry: Entry, folder: _Folder) -> Entry:
    if not lacks_facts(entry):
        return entry
    records = RecordLog(folder, Writer({}, 0, ""))
    try:
        records.load()
    except Exception as error:
        _warn(folder.uri, error)
        return entry
    record = records.value
    is_of_it = isinstance(record, Mapping) and record.get("generation_id") == entry.generation_id
    return completed(entry, facts_of(None, stored=record)) if is_of_it else entry


def _warn(what: str, error: Exception) -> None:
    log.warning("The gallery can't read a ledger, %s: %s: %s", what, type(error).__name__, sanitize(str(error), ""))
