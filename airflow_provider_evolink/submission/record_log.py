# SPDX-License-Identifier: Apache-2.0
"""A ledger in files that are never overwritten, for Airflow before 3.3, and for whoever wants it in their own storage.

Airflow's task state store refuses the writes of a try that has been superseded, and that keeps a late worker from
paying. A folder of files can't do that, but it can refuse to create a file that exists. So what a task instance stores
under one name is a *log* of numbered records, ``evolink/000001.json`` and so on, of which the newest counts:

* A try reads the newest record once, number N, and decides by it what to do. From then on it writes N+1, N+2 and so on,
  and nothing else. No record is ever overwritten or removed: a free number below the newest one could be taken by a
  try that has read long ago.
* **Two tries at once**: both have read N, and one of them creates N+1. To the other this number is taken, its write
  fails, and it sends nothing. Its retry reads N+1.
* **A late worker that has read before a later try wrote**: the same. It does not matter which of them is the later one;
  what a try pays for is always based on all records before its own.
* **A late worker that reads after a later try has written** finds a record with a higher number of a try than its own,
  and stops. Without this it would take the clear that the later try has recorded for one of its own try.
* **A lost answer**: creating N+1 has failed as far as this try knows, and yet the file is there. Every record has a
  random id, so if what is there is exactly what this try has tried to write, it is its own, and the next number is
  free.
* **A batch** has a log for each chunk. A late worker can't slip by in another chunk: a row that the ledger has is
  written to its chunk, and new rows of any try go to the last chunk that both have read, until that is full.
* **A run that was deleted and made anew under the same id**: only the first try of the new run can tell, since records
  of another first try can't be its own. Airflow gives each try an id that is sortable by time (UUIDv7). Records of an
  earlier id are of the deleted run: it appends a record without a value, to all logs of the task instance, before it
  does anything else. Records of a later id mean that this try is the late one. Later tries believe what they find: if
  the first try of the new run never got as far as its ledger, they take up what the deleted run has paid for.
* **A clear** changes nothing here: the log survives it, and the next try reads it.

All of this rests on one thing, that creating a file is atomic. A listing that is out of date, as a network file system
may return, makes a write fail and nothing worse.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol, Self, cast

from airflow_provider_evolink.submission.entries import ABSENT

_NUMBERED = re.compile(r"(\d{6,})\.json")
_OF_A_LATER_TRY = re.compile(r"\.\d+$")
# On file systems that ignore case, too.
_PLAIN = re.compile(r"[a-z0-9_-][a-z0-9_.-]{0,79}")


class RecordError(RuntimeError):
    """A record that can't be read, or may not be written. Nothing may be sent then; a retry reads the log again."""


class Folder(Protocol):
    """A folder of files that are written once; see :class:`landing.create_only.CreateOnlyFolder`."""

    @property
    def uri(self) -> str: ...  # noqa: D102
    def __truediv__(self, name: str) -> Self: ...
    def names(self) -> list[str]: ...  # noqa: D102
    def read(self, name: str) -> bytes: ...  # noqa: D102
    def create(self, name: str, data: bytes) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Writer:
    """The try that reads and writes.

    :param identity: what names the task instance, and the log; for people and commands that read the files.
    :param try_number: of the try, from 1.
    :param try_id: Airflow's id of the try, which is sortable by time; empty if unknown.
    """

    identity: dict[str, Any]
    try_number: int
    try_id: str


@dataclass
class RecordLog:
    """The numbered records of one name.

    :param folder: has them, and nothing else.
    :param writer: who reads and writes.
    :ivar number: of the newest record that this try has read or written; 0 if there is none.
    """

    folder: Folder
    writer: Writer
    number: int = field(default=0, init=False)
    # Three quarters of the size even of a batch's chunk, whose rows are compressed already but written as base64.
    _packed: bytes | None = field(default=None, init=False)
    _in_doubt: list[bytes] = field(default_factory=list, init=False)

    def load(self) -> None:
        """Read the newest record.

        :raises RecordError: it is not a record.
        :raises OSError: the storage failed.
        """
        numbers = [int(match[1]) for name in self.folder.names() if (match := _NUMBERED.fullmatch(name))]
        self.number = max(numbers, default=0)
        if self.number:
            data = self.folder.read(_name(self.number))
            _parsed(data, self.folder, self.number)
            self._packed = _pack(data)

    @property
    def newest(self) -> dict[str, Any] | None:
        """The newest record that this try has read or written, as a new structure."""
        return None if self._packed is None else cast("dict[str, Any]", json.loads(zlib.decompress(self._packed)))

    @property
    def value(self) -> Any:
        """The newest value, or ``ABSENT``."""
        return (self.newest or {}).get("value", ABSENT)

    def is_of_deleted_run(self) -> bool:
        """Return whether the newest record is older than the first try of this run.

        :raises RecordError: a later try has written it: this one has been superseded.
        """
        newest, writer = self.newest, self.writer
        if newest is None:
            return False
        wrote = newest["try_number"], newest["try_id"]
        if writer.try_number <= 1 and wrote[1] < writer.try_id:
            return True
        if wrote[0] > writer.try_number or (writer.try_number <= 1 and wrote[1] > writer.try_id):
            raise RecordError(
                f"try {wrote[0]} of this task has written {self.folder.uri}/{_name(self.number)} and superseded this "
                f"one, try {writer.try_number}"
            )
        return False

    def append(self, value: Any) -> None:
        """Write the next record; it is durable on return.

        :param value: JSON; ``ABSENT`` = forget what the records before it say.
        :raises RecordError: somebody else has written since this try has read.
        :raises OSError: the storage failed; whether the record was written is settled by the next write.
        """
        data = json.dumps(self._record(value), ensure_ascii=False, allow_nan=False).encode()
        while not self._create(data):
            self.number += 1
            self._in_doubt.clear()
        self.number, self._packed = self.number + 1, _pack(data)
        self._in_doubt.clear()

    def _record(self, value: Any) -> dict[str, Any]:
        writer = self.writer
        record = {**writer.identity, "try_number": writer.try_number, "try_id": writer.try_id}
        record |= {"written_at": datetime.now(UTC).isoformat(timespec="milliseconds"), "record_id": uuid.uuid4().hex}
        return record if value is ABSENT else {**record, "value": value}

    def _create(self, data: bytes) -> bool:
        """Create the next number; return whether it is this record, and not an earlier one whose answer was lost."""
        name = _name(self.number + 1)
        self._in_doubt.append(data)
        try:
            self.folder.create(name, data)
        except FileExistsError as error:
            found = self.folder.read(name)
            if found not in self._in_doubt:
                raise RecordError(
                    f"{self.folder.uri}/{name} was written by somebody else since this try has read the ledger"
                ) from error
            return found == data
        return True


class NumberedRecords:
    """A store for one try of a task instance, like Airflow's task state store, in a folder of its own.

    The number of a try, which :class:`~..submission.entries.TryEntries` appends to a key, does not count: of the
    records of all tries the newest does. Each name is read once; after that this try knows what it says.

    :param open_folder: opens the task instance's folder, when it is first needed.
    :param writer: the try.
    """

    def __init__(self, open_folder: Callable[[], Folder], writer: Writer) -> None:
        self._open_folder = open_folder
        self._writer = writer
        self._logs: dict[str, RecordLog] = {}
        self._lock = threading.RLock()

    def get(self, key: str, default: Any = None) -> Any:
        """Return the newest value of a store key.

        :raises RecordError: this try has been superseded, or a record is unreadable. Nothing may be sent then.
        """
        with self._lock:
            value = self._log(key).value
        return default if value is ABSENT else value

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:  # noqa: ARG002 - records stay
        """Store a JSON value.

        :raises RecordError: another try has written since this one has read.
        """
        with self._lock:
            self._log(key).append(value)

    def _log(self, key: str) -> RecordLog:
        name = _OF_A_LATER_TRY.sub("", key)
        if name not in self._logs:
            folder = self._open_folder()
            log = self._load(folder, name)
            if log.is_of_deleted_run():
                self._forget_all(folder)
                log = self._load(folder, name)
            self._logs[name] = log
        return self._logs[name]

    def _load(self, folder: Folder, name: str) -> RecordLog:
        identity = {**self._writer.identity, "name": name}
        log = RecordLog(folder / file_name(name), replace(self._writer, identity=identity))
        log.load()
        return log

    def _forget_all(self, folder: Folder) -> None:
        """Forget what a deleted run has stored, before this run stores anything."""
        for name in folder.names():
            log = RecordLog(folder / name, self._writer)
            log.load()
            if log.is_of_deleted_run():
                log.append(ABSENT)


def file_name(text: str) -> str:
    """Return a name of a file for any text: the text itself if it is plain, or a readable part of it and a digest.

    No two texts get the same, also where case does not count.
    """
    if _PLAIN.fullmatch(text):
        return text
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:60].strip("-.")
    return f"{readable}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _pack(data: bytes) -> bytes:
    return zlib.compress(data, level=1)


def _name(number: int) -> str:
    return f"{number:06d}.json"


def read_record(folder: Folder, number: int) -> dict[str, Any]:
    """Read a record.

    :raises RecordError: it is none.
    :raises OSError: the storage failed.
    """
    return _parsed(folder.read(_name(number)), folder, number)


def _parsed(data: bytes, folder: Folder, number: int) -> dict[str, Any]:
    uri = f"{folder.uri}/{_name(number)}"
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{uri} is not a record of a ledger: {error}") from error
    is_record = isinstance(record, dict) and isinstance(record.get("try_id"), str)
    if not is_record or not isinstance(record.get("try_number"), int):
        raise RecordError(f"{uri} is not a record of a ledger: it names no try")
    return cast("dict[str, Any]", record)
