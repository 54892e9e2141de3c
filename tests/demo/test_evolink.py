from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path

import pytest

from demo.environment import airflow_environment, clean_environment
from demo.errors import NotStartedError
from demo.evolink import emulated, real, wanted_key
from demo.processes import Processes

KEY = "sk-a-key-of-the-users-own"


class Terminal(StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLINK_API_KEY", KEY)
    monkeypatch.delenv("EVOLINK_DEMO_YES", raising=False)


def test_without_a_key_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator is used, and costs nothing."""
    monkeypatch.delenv("EVOLINK_API_KEY", raising=False)
    monkeypatch.setattr(sys, "stdin", StringIO())
    assert wanted_key() is None


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize("answer", ["y", "Yes"])
def test_a_yes_is_taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str) -> None:
    """Who knows the price and says yes gets the real EvoLink; the key is never shown."""
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    assert wanted_key() == KEY
    printed = capsys.readouterr().out
    assert "credits" in printed
    assert "USD" in printed
    assert KEY not in printed


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize("answer", ["", "n", "maybe"])
def test_anything_else_is_a_no(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Money is spent on a clear yes only."""
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    with pytest.raises(NotStartedError, match="nothing was charged"):
        wanted_key()


@pytest.mark.usefixtures("_key")
def test_nobody_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can be asked, the demo refuses, and says how to say yes beforehand."""
    monkeypatch.setattr(sys, "stdin", StringIO("y\n"))
    with pytest.raises(NotStartedError, match="EVOLINK_DEMO_YES=1"):
        wanted_key()


@pytest.mark.usefixtures("_key")
def test_a_yes_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script can say yes with a variable."""
    monkeypatch.setenv("EVOLINK_DEMO_YES", "1")
    assert wanted_key() == KEY


def test_the_key_is_in_the_connection_only() -> None:
    """Showing what is used does not show the key."""
    used = real(KEY)
    assert json.loads(used.connection) == {
        "conn_type": "evolink",
        "host": "https://api.evolink.ai",
        "password": KEY,
    }
    assert KEY not in repr(used)
    assert not used.is_emulated


def test_the_emulator_counts_its_requests(tmp_path: Path) -> None:
    """An emulator of its own listens, and tells what it was asked."""
    with Processes(tmp_path / "logs") as processes:
        used = emulated(processes, tmp_path / "media")
        assert json.loads(used.connection)["host"].startswith("http://127.0.0.1:")
        assert used.is_emulated
        assert used.count
        assert used.count() == "0 to EvoLink: none"


@pytest.mark.usefixtures("_key")
def test_nothing_of_the_users_leaks_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the user's Airflow, nor a key, nor another virtual environment reach the demo's processes."""
    for name in ("AIRFLOW__CORE__EXECUTOR", "AIRFLOW_HOME", "PYTHONPATH", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/the/users/own")
    assert "/the/users/own" not in clean_environment().values()
    airflow = airflow_environment(tmp_path, tmp_path, 1)
    assert "/the/users/own" not in airflow.values()
    assert KEY not in airflow.values()
    assert airflow["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_no_example_runs_unasked(tmp_path: Path) -> None:
    """DAGs are paused until somebody wants them: a scheduled one would spend money by itself."""
    assert airflow_environment(tmp_path, tmp_path, 1)["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "True"
