# SPDX-License-Identifier: Apache-2.0
"""The EvoLink of a demo: whose it is, who confirms the price, and what it shows."""

from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path

import httpx
import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from demo.errors import NotStartedError
from demo.evolink import Progress, emulated, real, requested_key
from testkit.environment import airflow_environment, clean_environment, free_port
from testkit.examples import GENERATION_ID
from testkit.processes import Processes

KEY = "sk-a-key-of-the-users-own"


class Terminal(StringIO):
    """A terminal with a user who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLINK_API_KEY", KEY)
    monkeypatch.delenv("EVOLINK_DEMO_YES", raising=False)


def test_without_an_api_key_no_confirmation_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an API key the emulator is used, which costs nothing."""
    monkeypatch.delenv("EVOLINK_API_KEY", raising=False)
    monkeypatch.setattr(sys, "stdin", StringIO())
    assert requested_key() is None


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize("answer", ["y", "Yes"])
def test_a_confirmation_is_accepted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    """A user who is shown the price and confirms gets the real EvoLink; the API key is never shown."""
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    assert requested_key() == KEY
    printed = capsys.readouterr().out
    assert "credits" in printed
    assert "USD" in printed
    assert KEY not in printed


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize("answer", ["", "n", "maybe"])
def test_anything_but_yes_declines(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Only an explicit yes spends money."""
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    with pytest.raises(NotStartedError, match="nothing was charged"):
        requested_key()


@pytest.mark.usefixtures("_key")
def test_without_a_terminal_the_demo_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal the demo refuses, and names the variable that confirms beforehand."""
    monkeypatch.setattr(sys, "stdin", StringIO("y\n"))
    with pytest.raises(NotStartedError, match="EVOLINK_DEMO_YES=1"):
        requested_key()


@pytest.mark.usefixtures("_key")
def test_a_variable_confirms_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script can confirm with an environment variable."""
    monkeypatch.setenv("EVOLINK_DEMO_YES", "1")
    assert requested_key() == KEY


def test_the_api_key_is_in_the_connection_only() -> None:
    """The API key is not part of what is shown."""
    with real(KEY) as used:
        pass
    assert json.loads(used.connection) == {
        "conn_type": "evolink",
        "host": "https://api.evolink.ai",
        "password": KEY,
    }
    assert KEY not in repr(used)
    assert not used.is_emulated


def test_the_emulator_counts_its_requests(tmp_path: Path) -> None:
    """The demo's own emulator listens, and counts the requests that it receives."""
    with Processes(tmp_path / "logs") as processes, emulated(processes, tmp_path / "media") as used:
        assert json.loads(used.connection)["host"].startswith("http://127.0.0.1:")
        assert used.is_emulated
        assert used.count
        assert used.count() == "0 to EvoLink: none"
        assert used.progress(GENERATION_ID) is None


def test_progress_is_read_from_evolink_at_most_every_ten_seconds(evolink_emulator: EmulatorHandle) -> None:
    """The real API is queried for status and percent, and not again at once, since it limits queries."""
    evolink_emulator.control.inject("generation_failed", "submit")
    body = {"model": "gemini-omni-flash-text-to-video", "prompt": "A lighthouse", "duration": 3}
    headers = {"Authorization": f"Bearer {evolink_emulator.api_key}"}
    created = httpx.post(f"{evolink_emulator.url}/v1/videos/generations", json=body, headers=headers, trust_env=False)
    generation_id = created.raise_for_status().json()["id"]
    evolink_emulator.control.advance(3600)
    with real(evolink_emulator.api_key, evolink_emulator.url) as used:
        assert used.progress(generation_id) == used.progress(generation_id) == Progress("failed", 0.0)
    assert evolink_emulator.control.state()["requests"]["read"] == 1


def test_progress_is_unknown_while_evolink_is_unreachable() -> None:
    """A failed query costs the display its progress and nothing else."""
    with real(KEY, f"http://127.0.0.1:{free_port()}") as used:
        assert used.progress(GENERATION_ID) is None


@pytest.mark.usefixtures("_key")
def test_the_users_environment_does_not_leak_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the user's Airflow, nor an API key, nor another virtual environment reaches the demo's processes."""
    for name in ("AIRFLOW__CORE__EXECUTOR", "AIRFLOW_HOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/the/users/own")
    assert "/the/users/own" not in clean_environment().values()
    airflow = airflow_environment(tmp_path, tmp_path, 1)
    assert "/the/users/own" not in airflow.values()
    assert KEY not in airflow.values()
    assert airflow["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_examples_start_paused(tmp_path: Path) -> None:
    """DAGs start paused: a scheduled one would spend money by itself."""
    assert airflow_environment(tmp_path, tmp_path, 1)["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "True"
