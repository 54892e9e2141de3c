# SPDX-License-Identifier: Apache-2.0
"""Why a task has failed reaches the tabs, from a real run by ``dag.test()``, whatever has failed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from airflow.sdk import DAG

from airflow_provider_evolink.api.errors import EvoLinkError
from airflow_provider_evolink.execution.try_notes import ERROR_KEY, PROGRESS_KEY, failure_note
from airflow_provider_evolink.links import addresses
from tests.loaded_dag import DagBag, load_dag
from tests.ui.airflow_ui import RUN_ID, AirflowUi, add_task_instance
from tests.ui.auth_manager import OWN_DAG

if TYPE_CHECKING:
    from airflow_provider_evolink.emulator.server import EmulatorHandle

FOLDER = Path(__file__).parent / "dags"
RUN = addresses.entries(OWN_DAG, RUN_ID)


@pytest.fixture(autouse=True)
def _poll_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__EVOLINK__POLL_INTERVAL", "1")


@pytest.fixture
def dags(ui: AirflowUi) -> dict[str, DAG]:
    """The DAGs that fail, in the database of the server."""
    load_dag(FOLDER, "fails_hook")
    return dict(DagBag(str(FOLDER)).dags)


def failures(client: httpx.Client, dag: DAG, **conf: Any) -> list[dict[str, Any]]:
    """Run a DAG, and return what its run's gallery shows."""
    run = dag.test(run_conf=conf)
    assert run.state == "failed"
    entries: list[dict[str, Any]] = client.get(addresses.entries(dag.dag_id, run.run_id)).json()["entries"]
    return entries


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("dag_id", "fault", "parts"),
    [
        ("generation", {"fault": "http_error", "status": 401}, ["401"]),
        ("generation", {"fault": "http_error", "status": 402}, ["402", "credits"]),
        ("generation", {"fault": "http_error", "status": 403}, ["403"]),
        ("generation", {"fault": "generation_failed"}, ["content_policy_violation", "clear the task"]),
        ("timeout", {"fault": "generation_stalled"}, ["deadline", "A retry"]),
        ("landing", {"fault": "no_results"}, ["paid for", "retry"]),
        ("connection", None, ["'nowhere'", "airflow connections add nowhere", "A retry fails too", "Nothing was sent"]),
        ("storage", None, ["'nowhere'", "airflow connections add nowhere", "cost nothing"]),
        ("sensor", None, ["'nowhere'", "airflow connections add nowhere"]),
        ("transfer", None, ["'nowhere'", "airflow connections add nowhere"]),
        ("hook", None, ["'nowhere'", "airflow connections add nowhere"]),
        ("template", None, ["UndefinedError"]),
    ],
)
def test_a_failure(
    admin: httpx.Client,
    dags: dict[str, DAG],
    emulator: EmulatorHandle,
    tmp_path: Path,
    dag_id: str,
    fault: dict[str, Any] | None,
    parts: list[str],
) -> None:
    """The tab has the error's own words: what happened, what it cost, and what a retry does."""
    if fault is not None:
        emulator.control.inject(on="submit", times=None, **fault)
    [entry] = failures(admin, dags[f"fails_{dag_id}"], folder=str(tmp_path))
    assert entry["status"] == "failed"
    for part in parts:
        assert part in entry["error"]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("dag_id", ["generation", "batch"])
def test_input_that_was_refused(
    admin: httpx.Client, dags: dict[str, DAG], emulator: EmulatorHandle, tmp_path: Path, dag_id: str
) -> None:
    """The tab names the value that was refused before anything was paid for."""
    [entry] = failures(admin, dags[f"fails_{dag_id}"], duration=999, folder=str(tmp_path))
    assert "duration" in entry["error"]
    assert "999" in entry["error"]
    assert emulator.control.state()["requests"]["submit"] == 0


@pytest.mark.filterwarnings("default")
def test_an_instance_of_a_mapped_task(admin: httpx.Client, dags: dict[str, DAG], emulator: EmulatorHandle) -> None:
    """Each map index has its own reason."""
    [entry] = failures(admin, dags["fails_mapped"])
    assert (entry["map_index"], "`duration`=999" in entry["error"]) == (1, True)


@pytest.mark.filterwarnings("default")
def test_no_secret_is_kept(admin: httpx.Client, dags: dict[str, DAG], emulator: EmulatorHandle) -> None:
    """What Airflow masks in logs is masked here."""
    [entry] = failures(admin, dags["fails_secret"])
    assert "***" in entry["error"]
    assert emulator.api_key not in entry["error"]


@pytest.mark.filterwarnings("default")
def test_a_failure_of_something_else(admin: httpx.Client, dags: dict[str, DAG]) -> None:
    """A task that has nothing to do with this package leaves nothing, and is not shown."""
    assert failures(admin, dags["fails_elsewhere"]) == []


def note(try_number: int, text: str = "It was refused.") -> dict[str, Any]:
    """Return what a failed try has left."""
    return {ERROR_KEY: {"try_number": try_number, "text": text}}


def test_a_later_try_outweighs(guest: httpx.Client) -> None:
    """What an earlier try has left says nothing about a later one, whether that one succeeds, runs or fails."""
    add_task_instance("a", state="success", **note(0))
    add_task_instance("b", state="running", **note(0))
    add_task_instance("c", state="failed", **note(7))
    add_task_instance("d", state="failed", **note(0))
    [third, fourth] = guest.get(RUN).json()["entries"]
    assert (third["task_id"], third["error"]) == ("c", "The task failed; its log says why.")
    assert (fourth["task_id"], fourth["error"]) == ("d", "It was refused.")


def test_before_the_next_try(guest: httpx.Client) -> None:
    """A task that waits for its next try is shown with why the last one has failed; any operator is."""
    add_task_instance(state="up_for_retry", operator="PythonOperator", **note(0))
    [entry] = guest.get(RUN).json()["entries"]
    assert (entry["status"], entry["error"]) == ("unfinished", "It was refused. The next try is to come.")


def test_a_batch_under_way(guest: httpx.Client) -> None:
    """A batch that has not ended shows how far its current try is; once it has ended, that is not shown any more."""
    progress = {PROGRESS_KEY: {"try_number": 0, "text": "12 of 40 rows have landed, 28 under way"}}
    for task_id, state in (("a", "deferred"), ("b", "running"), ("c", "success"), ("d", "skipped")):
        add_task_instance(task_id, state=state, operator="EvoLinkBatchOperator", **progress)
    later = {PROGRESS_KEY: {"try_number": 1, "text": "1 of 40"}}
    add_task_instance("e", state="running", operator="EvoLinkBatchOperator", **later)
    entries = guest.get(RUN).json()["entries"]
    assert [(entry["task_id"], entry["status"], entry["servable"]) for entry in entries] == [
        ("a", "running", False), ("b", "running", False),
    ]  # fmt: skip
    assert entries[0]["why_not"].startswith("12 of 40 rows have landed, 28 under way. Its rows are shown here once")


@pytest.mark.parametrize("left", ["text", ["text"], {"try_number": 0, "text": {"a": 1}}, {"try_number": 0}, 5])
def test_what_anybody_may_have_left(guest: httpx.Client, left: Any) -> None:
    """A value under the same key that is no note counts as none."""
    add_task_instance(state="failed", **{ERROR_KEY: left})
    [entry] = guest.get(RUN).json()["entries"]
    assert entry["error"] == "The task failed; its log says why."


def test_a_long_text_is_shortened() -> None:
    """A note takes no more than a thousand characters of the database."""
    noted = failure_note(EvoLinkError("x" * 5000), None, 1, redact=str)
    assert noted is not None
    assert (len(noted["text"]), noted["text"][-3:]) == (1000, "...")


def test_a_secret_is_masked_before_the_text_is_shortened() -> None:
    """What masks a secret gets it whole, so that no part of it remains."""
    noted = failure_note(EvoLinkError(f"{'x' * 995}secret"), None, 1, redact=lambda text: text.replace("secret", "***"))
    assert noted is not None
    assert "s" not in noted["text"]
