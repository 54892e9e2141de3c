# SPDX-License-Identifier: Apache-2.0
"""Read and forget the entries of tasks' ledgers in the storage of ``[evolink] ledger_path``.

Forgetting appends a record without a value, like every other write: removing files would let a late worker take a
number that it has not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from airflow_provider_evolink.cli.stored_entries import FILES, Instance, StoredEntry, is_ledgers
from airflow_provider_evolink.execution.object_ledger import ledger_path, ledger_root, task_folder
from airflow_provider_evolink.submission.entries import ABSENT
from airflow_provider_evolink.submission.record_log import Folder, RecordError, RecordLog, Writer, read_record


def find_in_files(dag_id: str, task_id: str, run_id: str | None, map_index: int | None) -> list[StoredEntry]:
    """Return the newest entries of a task's ledgers, also of runs that were deleted; none if ledgers are elsewhere.

    :param run_id: ``None`` = of all runs.
    :param map_index: ``None`` = of all instances.
    :raises ConfigurationError, LedgerError, OSError: the storage can't be used.
    """
    path = ledger_path()
    if path is None:
        return []
    entries = _in_task(ledger_root(path) / task_folder(dag_id, task_id))
    found = [
        entry
        for entry in entries
        if run_id in (None, entry.instance.run_id) and map_index in (None, entry.instance.map_index)
    ]
    return sorted(found, key=lambda entry: (entry.instance, entry.key))


def _in_task(folder: Folder) -> Iterator[StoredEntry]:
    for instance in folder.names():
        for name in (folder / instance).names():
            if is_ledgers(name):
                yield from _in_log(folder / instance / name, instance, name)


def _in_log(folder: Folder, instance: str, name: str) -> Iterator[StoredEntry]:
    log = RecordLog(folder, Writer({}, 0, ""))
    with suppress(RecordError):
        log.load()
        if log.value is ABSENT:
            return
    # An unreadable record blocks its task, and is shown by what the file before it or, at last, the folders say.
    known = log.newest or _readable(folder, log.number) or {"run_id": instance, "name": name, "try_id": ""}
    value = None if log.newest is None else log.value

    def forget(_: Any) -> None:
        identity = {key: known[key] for key in ("dag_id", "task_id", "run_id", "map_index", "name") if key in known}
        log.writer = Writer(identity, known.get("try_number", 0), known["try_id"])
        log.append(ABSENT)

    yield StoredEntry(Instance(known["run_id"], known.get("map_index", -1)), known["name"], FILES, value, forget)


def _readable(folder: Folder, number: int) -> Mapping[str, Any] | None:
    """Return the newest readable record before a number."""
    for earlier in range(number - 1, 0, -1):
        with suppress(RecordError):
            return read_record(folder, earlier)
    return None
