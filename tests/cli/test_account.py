# SPDX-License-Identifier: Apache-2.0
"""Tests of the commands that ask EvoLink: they land, report, and show no key and no traceback."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import yaml

from airflow_provider_evolink.api.generation import Credits
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from tests.cli.conftest import Ran, Run
from tests.operators.landings import files, sent
from tests.recovery.generations import submit

pytestmark = pytest.mark.usefixtures("no_pauses")
UNKNOWN = "task-unified-1757169743-7cvnl5zw"


def check_failed(ran: Ran, emulator: EmulatorHandle, code: int = 1) -> None:
    """Check that a command has failed with lines that are no traceback, and without the API key."""
    assert ran.code == code
    assert "Traceback" not in ran.err
    assert ran.err
    assert emulator.api_key not in ran.out + ran.err


def test_credits(emulator: EmulatorHandle, run_command: Run) -> None:
    """The amounts are those of the account."""
    [row] = json.loads(run_command("credits", "-o", "json").out)

    credits_ = EvoLinkHook().get_credits()
    assert row == {
        "conn_id": "evolink_default", "api_key": credits_.key_remaining, "account": credits_.account_remaining,
    }  # fmt: skip
    assert [type(row[name]) for name in ("api_key", "account")] == [float, float]


def test_an_unlimited_key(emulator: EmulatorHandle, run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is null for programs, and a word for people."""
    monkeypatch.setattr(EvoLinkHook, "get_credits", lambda _: Credits(None, 12.5))

    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        [row] = read(run_command("credits", "-o", output).out)
        assert (row["api_key"], row["account"]) == (None, 12.5)
    assert "unlimited" in run_command("credits").out


def test_a_connection_of_the_database(emulator: EmulatorHandle, run_command: Run, database: None) -> None:
    """Connections that were made in the UI are found, too."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.query(Connection).filter_by(conn_id="stored_evolink").delete()
        host = emulator.url
        session.add(Connection(conn_id="stored_evolink", conn_type="evolink", host=host, password=emulator.api_key))

    assert run_command("credits", "--conn-id", "stored_evolink").code == 0


def test_a_missing_connection(emulator: EmulatorHandle, run_command: Run, database: None) -> None:
    """One line names it."""
    ran = run_command("credits", "--conn-id", "nowhere")

    check_failed(ran, emulator)
    assert "Connection 'nowhere' was not found" in ran.err
    assert ran.err.count("\n") == 1


def account_commands(folder: Path) -> list[list[str]]:
    """Return the commands that ask EvoLink."""
    return [["credits"], ["collect", UNKNOWN, "--to", str(folder)]]


@pytest.mark.parametrize("number", [0, 1])
def test_a_dead_host(run_command: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int) -> None:
    """One line names the connection and the host, and has no key."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"http://127.0.0.1:{server.getsockname()[1]}"
    connection = {"conn_type": "evolink", "host": host, "password": "sk-dead-0123456789"}
    monkeypatch.setenv("AIRFLOW_CONN_DEAD", json.dumps(connection))
    ran = run_command(*account_commands(tmp_path)[number], "--conn-id", "dead")

    assert ran.code == 1
    assert ran.err.startswith(f"EvoLink ({host}, connection 'dead') could not be reached")
    assert ran.err.count("\n") == 1
    assert "sk-dead" not in ran.out + ran.err


@pytest.mark.parametrize("number", [0, 1])
def test_a_connection_that_does_not_exist(run_command: Run, tmp_path: Path, database: None, number: int) -> None:
    """One line names it, whatever the command."""
    ran = run_command(*account_commands(tmp_path)[number], "--conn-id", "nowhere")

    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "Connection 'nowhere' was not found" in ran.err


def test_a_rejected_key(emulator: EmulatorHandle, run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says so; the key is in none."""
    wrong = emulator.airflow_connection.replace(emulator.api_key, "sk-wrong-0123456789")
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", wrong)
    ran = run_command("credits")

    check_failed(ran, emulator)
    assert "sk-wrong" not in ran.err
    assert f"'evolink_default' ({emulator.url})" in ran.err
    assert ran.err.count("\n") == 1


def test_collect(emulator: EmulatorHandle, run_command: Run, tmp_path: Path) -> None:
    """Generations of another tool land under their ids, and nothing is paid; again, nothing changes."""
    ids = submit(emulator, 2)
    submissions = sent(emulator, "submit")
    for _ in range(2):
        ran = run_command("collect", *ids, "--to", str(tmp_path), "-o", "json")

        assert (ran.code, ran.err) == (0, "")
        rows = json.loads(ran.out)
        assert [row["generation_id"] for row in rows] == ids
        assert sorted(uri for row in rows for uri in row["files"]) == [file.as_uri() for file in files(tmp_path)]
        assert all(row["credits_used"] > 0 for row in rows)
    assert sent(emulator, "submit") == submissions


def test_collect_into_a_folder_below_this_one(
    emulator: EmulatorHandle, run_command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command may be given a relative path, and names of the user's own."""
    monkeypatch.chdir(tmp_path)
    [generation_id] = submit(emulator)

    assert run_command("collect", generation_id, "--to", "here", "--filename-pattern", "{kind}.{ext}").code == 0
    assert [file.stem for file in files(tmp_path / "here")] == ["image"]


def test_collect_what_has_not_finished(emulator: EmulatorHandle, run_command: Run, tmp_path: Path) -> None:
    """It is reported with its status, the others land, and the exit code says that it is worth another try."""
    [done] = submit(emulator)
    emulator.control.inject("generation_stalled", on="submit")
    [stalled] = submit(emulator)
    ran = run_command("collect", stalled, done, "--to", str(tmp_path), "-o", "json")

    assert ran.code == 3
    assert {row["generation_id"]: row["status"] for row in json.loads(ran.out)} == {
        stalled: "under_way", done: "landed",
    }  # fmt: skip


def test_collect_what_cannot_be_had(emulator: EmulatorHandle, run_command: Run, tmp_path: Path) -> None:
    """A failed and an unknown generation are reported on stderr, each in a line; the others land."""
    [done] = submit(emulator)
    emulator.control.inject("generation_failed", on="submit")
    [failed] = submit(emulator)
    ran = run_command("collect", UNKNOWN, failed, done, "--to", str(tmp_path))

    check_failed(ran, emulator)
    assert [line for line in ran.err.splitlines() if UNKNOWN in line or failed in line] == ran.err.splitlines()
    assert len(ran.err.splitlines()) == 2
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["../etc", "--to", "/tmp"],
        [UNKNOWN, "--to", "s3://nowhere@bucket/x"],
        [UNKNOWN, "--to", "s3://key:hunter2@bucket/x"],
        [UNKNOWN, "--to", "/tmp", "--filename-pattern", "{nothing}"],
        [UNKNOWN, UNKNOWN[:-1], "--to", "/tmp", "--filename-pattern", "one.{ext}"],
    ],
)
def test_collect_with_impossible_arguments(emulator: EmulatorHandle, run_command: Run, arguments: list[str]) -> None:
    """Nothing is asked for, and one line says what is wrong."""
    ran = run_command("collect", *arguments)

    check_failed(ran, emulator)
    assert "hunter2" not in ran.err
    assert ran.err.count("\n") == 1
    assert sent(emulator, "batch", "read") == (0, 0)


def test_evolink_is_down(emulator: EmulatorHandle, run_command: Run, tmp_path: Path) -> None:
    """An outage is one line."""
    emulator.control.inject("server_error", on="credits", times=9)

    check_failed(run_command("credits"), emulator)
