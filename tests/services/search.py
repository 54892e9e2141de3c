# SPDX-License-Identifier: Apache-2.0
"""Searches for secrets in everything that an Airflow writes: files, database rows, process arguments, API responses.

A secret is found in every form it may have: plain, escaped, quoted, in base64 or hex, or encrypted with
Airflow's own Fernet key.
"""

from __future__ import annotations

import base64
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from cryptography.fernet import Fernet, InvalidToken

_FERNET = re.compile(rb"gAAAA[\w-]{60,}={0,2}")
_UNICODE_ESCAPE = re.compile(rb"\\+u00([0-7][0-9a-f])", re.IGNORECASE)
_AROUND = 40
_PAUSE_SECONDS = 0.5


class Search:
    """Where which secret was found, and how much was searched.

    :param secrets: by a name that may be shown.
    :param fernet_key: the key that Airflow encrypts with.
    """

    def __init__(self, secrets: Mapping[str, str], fernet_key: str) -> None:
        self.found: dict[str, dict[str, str]] = {name: {} for name in secrets}
        self.searched: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self._forms = {name: forms(secret) for name, secret in secrets.items()}
        self._fernet = Fernet(fernet_key)
        self._hashes: set[int] = set()
        self._lock = threading.Lock()

    def locations(self, *names: str) -> set[str]:
        """Return where any of these secrets was found."""
        return {location for name in names for location in self.found[name]}

    def search_text(self, location: str, text: str | bytes, detail: str = "") -> None:
        """Search a text.

        :param location: kind of location, such as a column of a table.
        :param text: the text.
        :param detail: which location of that kind.
        """
        data = text.encode(errors="replace") if isinstance(text, str) else text
        for name, where in self._in(data):
            self.found[name].setdefault(location, f"{detail} {where!r}")
        for token in set(_FERNET.findall(data)):
            with suppress(InvalidToken):
                self.search_text(f"{location}, encrypted", self._fernet.decrypt(token), detail)

    def _in(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        plain = unescaped(data)
        for name, written in self._forms.items():
            for form in written:
                at = plain.find(form)
                if at >= 0:
                    yield name, plain[max(at - _AROUND, 0) : at + len(form) + _AROUND]
                    break

    def files(self, folder: Path) -> None:
        """Search every file in a folder, and its name."""
        for file in folder.rglob("*"):
            with suppress(FileNotFoundError):
                if file.is_file():
                    location = _kind(file)
                    self.searched[location] += 1
                    self.search_text(location, str(file).encode() + b"\n" + file.read_bytes(), str(file))

    def database(self, file: Path) -> None:
        """Search every row of every table that was not searched before."""
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                cursor = connection.execute(f'SELECT * FROM "{table}"')  # names from the database itself
                columns = [column[0] for column in cursor.description]
                for row in cursor.fetchall():
                    self._row(table, columns, row)

    def _row(self, table: str, columns: Iterable[str], row: tuple[object, ...]) -> None:
        with self._lock:
            if self._is_known((table, row)):
                return
            self.rows[table] += 1
            for column, value in zip(columns, row, strict=True):
                if isinstance(value, str | bytes):
                    self.search_text(f"{table}.{column}", value)

    def processes(self, pids: Iterable[int]) -> None:
        """Search the arguments of processes."""
        for pid in pids:
            with suppress(OSError):
                arguments = (Path("/proc") / str(pid) / "cmdline").read_bytes()
                if arguments and not self._is_known((pid, arguments)):
                    self.searched["processes"] += 1
                    self.search_text("process arguments", arguments, f"{pid}")

    def _is_known(self, thing: object) -> bool:
        before = len(self._hashes)
        self._hashes.add(hash(thing))
        return len(self._hashes) == before


def _kind(file: Path) -> str:
    """Return the kind of a file; a database has a journal beside it, a task's log that of its trigger."""
    if ".db" in file.name:
        return "database file"
    return "log file" if ".log" in file.name else "file"


def forms(secret: str) -> list[bytes]:
    """Return how a secret may be written, once escapes are removed."""
    data = secret.encode()
    written = {data, quote(secret, safe="").encode(), quote(secret).encode(), data.hex().encode()}
    for shift in range(3):
        # The surrounding text determines the first and last characters.
        encoded = base64.b64encode(b"\0" * shift + data)
        core = encoded[(0, 2, 3)[shift] : len(encoded) - (0, 3, 2)[(len(data) + shift) % 3]]
        written |= {core, core.translate(bytes.maketrans(b"+/", b"-_"))}
    return sorted(unescaped(form) for form in written)


def unescaped(data: bytes) -> bytes:
    """Remove what JSON, at any depth, and Python's repr add to a text."""
    return _UNICODE_ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), data).replace(b"\\", b"")


@contextmanager
def repeatedly(search: Callable[[], None]) -> Iterator[None]:
    """Search repeatedly as long as the context lasts, and once more at its end."""
    over = threading.Event()
    failures: list[Exception] = []

    def search_on() -> None:
        while not over.wait(_PAUSE_SECONDS):
            try:
                with suppress(sqlite3.OperationalError):  # Airflow is writing; the next search finds it
                    search()
            except Exception as error:
                failures.append(error)
                return

    thread = threading.Thread(target=search_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]
    search()
