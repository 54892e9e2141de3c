# SPDX-License-Identifier: Apache-2.0
"""The search finds a secret wherever it may be, so that finding nothing means something."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet

from tests.services.search import Search, repeatedly

SECRETS = {"plain": "sk-planted-4711-ABC", "odd": "sk/odd\"4711\\A&+ %='x"}
FERNET_KEY = Fernet.generate_key().decode()
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda secret: f"the key {secret}!",
    "JSON": lambda secret: json.dumps({"key": secret}),
    "JSON in JSON in JSON": lambda secret: json.dumps(json.dumps(json.dumps([secret]))),
    "JSON as Go writes it": lambda secret: json.dumps(secret).replace("&", "\\u0026"),
    "JSON as PHP writes it": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "Python": lambda secret: repr({"key": secret, "more": "it's"}),
    "a path": lambda secret: f"/v1/{quote(secret)}/tasks",
    "a query": lambda secret: f"?key={quote(secret, safe='')}",
    "hex": lambda secret: secret.encode().hex(),
    "base64": lambda secret: base64.b64encode(f"abc{secret}d".encode()).decode(),
    "base64, shifted by one": lambda secret: base64.b64encode(f"a{secret}bc".encode()).decode(),
    "base64, shifted by two": lambda secret: base64.b64encode(f"ab{secret}".encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(f"user:{secret}".encode()).decode(),
}


@pytest.fixture
def search() -> Search:
    """A search for two API keys, one of them with every character that is ever escaped."""
    return Search(SECRETS, FERNET_KEY)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_encoding_is_recognized(search: Search, name: str, spelling: str) -> None:
    """Escaped, quoted or encoded, the same secret is found, and no other."""
    search.search_text("somewhere", f"before {SPELLINGS[spelling](SECRETS[name])} after")
    assert {found: set(locations) for found, locations in search.found.items() if locations} == {name: {"somewhere"}}


def test_values_encrypted_by_airflow_are_searched(search: Search) -> None:
    """A value that Airflow's Fernet key decrypts is searched and reported as encrypted; a foreign token is ignored."""
    foreign = Fernet(Fernet.generate_key()).encrypt(SECRETS["odd"].encode()).decode()
    token = Fernet(FERNET_KEY).encrypt(json.dumps(SECRETS["plain"]).encode()).decode()
    search.search_text("a column", f'{{"__var": "{token}", "more": "{foreign}"}}')
    assert search.locations("plain", "odd") == {"a column, encrypted"}


def test_nothing_is_found_where_nothing_is(search: Search) -> None:
    """Part of a secret, or one that was masked, is not found."""
    search.search_text("somewhere", f"{SECRETS['plain'][:-1]} *** {SECRETS['odd'][1:]}")
    assert search.locations("plain", "odd") == set()


@pytest.mark.parametrize(
    ("file", "location"),
    [
        ("logs/dag/attempt=1.log", "log file"),
        ("logs/dag/attempt=1.log.trigger.4.log", "log file"),
        ("airflow.db-wal", "database file"),
        ("landed/0.mp4", "file"),
        ("landed/sk-planted-4711-ABC.mp4", "file"),
    ],
)
def test_every_file_is_searched(search: Search, tmp_path: Path, file: str, location: str) -> None:
    """Files of any type at any depth are searched, and so are their names."""
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0\xff" if SECRETS["plain"] in file else b"\0\xff" + SECRETS["plain"].encode() + b"\xfe")
    search.files(tmp_path)
    assert search.locations("plain") == {location}
    assert search.searched == {location: 1}


def test_every_row_of_every_table_is_searched(search: Search, tmp_path: Path) -> None:
    """A row is reported by table and column, also one that comes later and is deleted in the end; each is read once."""
    file = tmp_path / "airflow.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute('CREATE TABLE "trigger" (id INTEGER, kwargs TEXT, data BLOB)')
        database.execute("CREATE TABLE log (extra TEXT)")
        database.execute("INSERT INTO log VALUES ('nothing')")
        database.commit()
        search.database(file)
        assert search.locations("plain", "odd") == set()
        row = (1, json.dumps(SECRETS["odd"]), b"\0" + SECRETS["plain"].encode())
        database.execute('INSERT INTO "trigger" VALUES (?, ?, ?)', row)
        database.commit()
        search.database(file)
        search.database(file)
        database.execute('DELETE FROM "trigger"')
        database.commit()
        search.database(file)
    assert (search.locations("odd"), search.locations("plain")) == ({"trigger.kwargs"}, {"trigger.data"})
    assert search.rows == {"log": 1, "trigger": 1}


def test_arguments_of_processes_are_searched(search: Search) -> None:
    """Process arguments, which every user of the machine can read, are searched."""
    command = [sys.executable, "-c", "input('ready\\n')", "--key", SECRETS["odd"]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        search.processes([process.pid])
        process.communicate(b"\n")
    search.processes([process.pid])
    assert search.locations("odd") == {"process arguments"}
    assert search.searched == {"processes": 1}


def test_the_search_repeats_and_ends_with_a_last_one() -> None:
    """Short-lived content is found, a last search follows at the end, and a failing search is reported."""
    twice, searches = threading.Event(), []

    def search_once() -> None:
        searches.append(1)
        if len(searches) == 2:
            twice.set()

    with repeatedly(search_once):
        assert twice.wait(30)
        before = len(searches)
    assert len(searches) > before

    def fail() -> None:
        twice.set()
        raise ZeroDivisionError

    twice.clear()
    with pytest.raises(ZeroDivisionError), repeatedly(fail):
        assert twice.wait(30)
