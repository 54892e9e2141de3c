# SPDX-License-Identifier: Apache-2.0
"""No secret is anywhere it should not be: on a real Airflow, in everything it writes, whatever goes wrong.

The demo's DAG and a run of all cases are executed once; the tests then check what the search has found. The places
where a secret may be are listed, and must be found: that proves that the search works.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings
from testkit.airflow_api import AirflowApi
from testkit.airflow_stack import AirflowStack
from testkit.webhook import WebhookReceiver
from tests.services.cases import (
    CASES,
    HIDDEN_TOKEN,
    KEY,
    ODD_KEY,
    PROMPT,
    TOKEN,
    as_environment,
    connections,
    evolinks,
    submit,
)
from tests.services.search import Search, repeatedly

pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).parents[2]
DEMO, DAG = "evolink_image_to_video", "secret_cases"
CALLBACK = "https://hooks.example.com/evolink?token="
SECRETS = {
    "the key": KEY,
    "the odd key": ODD_KEY,
    "the token": TOKEN,
    "the hidden token": HIDDEN_TOKEN,
    "the prompt": PROMPT,
    "a link": "/media/videos/",
    "an id": "task-unified-",
}
# What Airflow itself keeps of a user's input, and shows to users who may see the run.
CONF = {"dag_run.conf", "log.extra", "database file", "REST dagRuns", "REST eventLogs"}
RENDERED = {"rendered_task_instance_fields.rendered_fields", "database file", "REST taskInstances"}
RESULTS = {
    "xcom.value",
    "task_state_store.value",
    "asset_state_store.value",
    "database file",
    "REST xcomEntries",
    "REST state-store",
}
OVER = {"success", "failed", "upstream_failed", "skipped"}


@dataclass
class Observations:
    """What is left when everything has run.

    :param search: what was found where.
    :param states: final state of each task.
    :param logs: log of each task, as JSON.
    :param rendered: rendered template fields of each task.
    :param evolink: final state of each EvoLink.
    :param published: what arrived at the webhook.
    """

    search: Search
    states: dict[str, Any] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    rendered: dict[str, dict[str, Any]] = field(default_factory=dict)
    evolink: dict[str, dict[str, Any]] = field(default_factory=dict)
    published: list[Any] = field(default_factory=list)


@pytest.fixture(scope="module")
def observations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observations]:
    """Run everything on an Airflow, and search meanwhile, afterwards, and when it is down."""
    folder = tmp_path_factory.mktemp("secrets")
    with (
        evolinks() as handles,
        running(Settings(clock=10.0, api_keys=(KEY,))) as default,
        WebhookReceiver() as receiver,
    ):
        stack = AirflowStack(folder / "airflow", _dags(folder), _environment(folder, handles, default, receiver))
        search = Search(SECRETS, stack.environment["AIRFLOW__CORE__FERNET_KEY"])
        found = Observations(search, published=receiver.received)
        with stack:
            _store(stack.api, search, connections(handles))
            with repeatedly(lambda: _watch(stack, search)):
                _run_dags(stack, handles, folder, found)
            search.files(folder)
        search.files(folder)
        handles["hidden_callback"].control.advance(3600)  # until its callback is due
        found.evolink = {name: handle.control.state() for name, handle in {**handles, "default": default}.items()}
        yield found


def _dags(folder: Path) -> Path:
    """Copy the demo's DAG and that of the cases into one folder."""
    dags = folder / "dags"
    shutil.copytree(ROOT / "dags" / "pictures", dags / "pictures")
    shutil.copy(ROOT / "dags" / f"{DEMO}.py", dags)
    shutil.copy(Path(__file__).parent / "dags" / f"{DAG}.py", dags)
    return dags


def _environment(
    folder: Path, handles: dict[str, EmulatorHandle], default: EmulatorHandle, receiver: WebhookReceiver
) -> dict[str, str]:
    temporary = folder / "tmp"
    temporary.mkdir()
    preset = {name: connection for name, connection in connections(handles).items() if name != "evolink_stored"}
    return {
        **as_environment(preset),
        "AIRFLOW_CONN_EVOLINK_DEFAULT": default.airflow_connection,
        "AIRFLOW_CONN_PUBLISH_WEBHOOK": receiver.connection,
        "AIRFLOW_CONN_CALLBACK_TOKEN": json.dumps({"conn_type": "generic", "password": HIDDEN_TOKEN}),
        "AIRFLOW__EVOLINK__POLL_INTERVAL": "1",
        "TMPDIR": str(temporary),
    }


def _store(api: AirflowApi, search: Search, known: dict[str, dict[str, str]]) -> None:
    """Test connections and store one, as a user does in the UI."""
    responses = [
        api.post("connections/test", {"connection_id": name, **known[name]})
        for name in ("evolink_stored", "evolink_wrong_key")
    ]
    responses.append(api.post("connections", {"connection_id": "evolink_stored", **known["evolink_stored"]}))
    responses.append(api.get("connections"))
    search.search_text("REST connections", json.dumps(responses))


def _watch(stack: AirflowStack, search: Search) -> None:
    search.processes(stack.processes.members())
    search.database(stack.home / "airflow.db")


def _run_dags(stack: AirflowStack, handles: dict[str, EmulatorHandle], folder: Path, found: Observations) -> None:
    """Run both DAGs to their ends."""
    for dag in (DEMO, DAG):
        stack.wait_for_dag(dag)
        stack.api.unpause(dag)
    handles["dead_link"].control.set_link_ttl(0)
    echoed = submit(handles["echoed"])
    echo = {"id": echoed, "status": "completed", "results": [], "result_data": {"voice": f"made for {ODD_KEY}"}}
    handles["echoed"].control.inject("unexpected_json", "read", None, body=echo)
    conf = {
        "prompt": PROMPT,
        "callback_url": CALLBACK + TOKEN,
        "bad_callback_url": f"http://10.0.0.7/hook?token={TOKEN}",
        "sensed": submit(handles["sensed"]),
        "echoed": echoed,
        "dead": submit(handles["dead_link"]),
        "folder": (folder / "landed").as_uri(),
    }
    handles["dead_link"].control.advance(3600)
    runs = {
        DAG: stack.api.trigger(DAG, conf),
        DEMO: stack.api.trigger(DEMO, {"prompt": PROMPT, "destination": conf["folder"]}),
    }
    stack.wait_until("both runs", lambda: _are_over(stack, runs, found), timeout=250)
    for dag, run in runs.items():
        _read(stack.api, dag, run, found)


def _are_over(stack: AirflowStack, runs: dict[str, str], found: Observations) -> bool:
    """Look at the tasks as a user does, and mark one as failed while it is deferred."""
    for dag, run in runs.items():
        tasks = stack.api.task_instances(dag, run)
        found.search.search_text("REST taskInstances", json.dumps(tasks, ensure_ascii=False))
        found.states.update({task["task_id"]: task["state"] for task in tasks})
    if found.states["marked"] == "deferred" and found.search.rows["trigger"]:
        stack.api.patch(f"{_path(DAG, runs[DAG])}/taskInstances/marked", {"new_state": "failed"})
    return set(found.states.values()) <= OVER


def _read(api: AirflowApi, dag: str, run: str, found: Observations) -> None:
    """Read everything that Airflow exposes about a run."""
    search_text = found.search.search_text
    for what, path in (
        ("dagRuns", _path(dag, run)),
        ("dagSources", f"dagSources/{dag}"),
        ("details", f"dags/{dag}/details"),
        ("eventLogs", "eventLogs?limit=1000"),
        ("importErrors", "importErrors"),
    ):
        search_text(f"REST {what}", json.dumps(api.get(path), ensure_ascii=False))
    for task in api.task_instances(dag, run):
        name = task["task_id"]
        found.rendered[name] = task["rendered_fields"]
        path = f"{_path(dag, run)}/taskInstances/{name}"
        entries = api.get(f"{path}/xcomEntries")["xcom_entries"]
        search_text(
            "REST xcomEntries",
            json.dumps([entries, [api.xcom(dag, run, name, entry["key"]) for entry in entries]]),
            name,
        )
        search_text("REST state-store", json.dumps(api.get(f"{path}/state-store")), name)
        found.logs[name] = json.dumps(api.get(f"{path}/logs/1", full_content=True), ensure_ascii=False)
        search_text("REST logs", found.logs[name], name)
        found.search.searched["task logs"] += 1


def _path(dag: str, run: str) -> str:
    return f"dags/{dag}/dagRuns/{quote(run, safe='')}"


def test_every_case_is_what_it_claims(observations: Observations) -> None:
    """Each task ended as intended, its log holds the facts and its faults fired: the searched Airflow was not idle."""
    missing = {
        name: [fact for fact in case.facts if fact not in observations.logs[name]] for name, case in CASES.items()
    }
    assert missing == {name: [] for name in CASES}
    idle = [name for name, state in observations.evolink.items() for fault in state["faults"] if not fault["fired"]]
    assert idle == []
    # Only logs of first attempts are read, and that of `slowed` submits nothing.
    submitted = {name for name, case in CASES.items() if case.state == "success"} - {"slowed"} | {"marked", "deadline"}
    ids = {name: [generation["id"] for generation in observations.evolink[name]["generations"]] for name in submitted}
    assert all(ids.values())
    assert [(name, id_) for name in submitted for id_ in ids[name] if id_ not in observations.logs[name]] == []
    expected = {name: case.state for name, case in CASES.items()}
    assert observations.states == {**expected, "generate": "success", "land": "success", "publish": "success"}
    assert len(observations.published) == 1


def test_everything_was_searched(observations: Observations) -> None:
    """Files, processes, logs and rows of every kind were there to be searched, those of deferred tasks included."""
    searched, rows = observations.search.searched, observations.search.rows
    assert searched["log file"] >= len(CASES)
    assert searched["task logs"] == len(observations.states)
    assert searched["database file"] >= 2
    assert searched["processes"] >= 4 + len(observations.states)
    assert rows["trigger"] >= 5
    for table in (
        "xcom",
        "task_state_store",
        "asset_state_store",
        "rendered_task_instance_fields",
        "serialized_dag",
        "dag_code",
        "log",
    ):
        assert rows[table], table
    assert any(location.startswith("trigger.kwargs") for location in observations.search.found["an id"])


def test_the_api_key_is_only_in_the_stored_connection_and_encrypted(observations: Observations) -> None:
    """No log, XCom, row, rendered field, trigger, process argument or exception holds the API key, in any spelling."""
    assert observations.search.locations("the key") == {"connection.password, encrypted", "database file, encrypted"}


def test_a_rejected_or_echoed_api_key_is_nowhere(observations: Observations) -> None:
    """A wrong API key may be valid elsewhere; EvoLink's echo of it, in an error or a result, is masked."""
    assert observations.search.found["the odd key"] == {}


def test_evolink_received_api_keys_only_in_the_authorization_header(observations: Observations) -> None:
    """No request carried the API key outside its Authorization header, and media requests carried none."""
    assert {
        name: state["api_key_leaks"] for name, state in observations.evolink.items() if state["api_key_leaks"]
    } == {}
    assert observations.evolink["default"]["requests"]["media"] >= 1
    assert sum(state["requests"]["total"] for state in observations.evolink.values()) >= len(CASES)


def test_prompts_are_only_where_the_author_put_them(observations: Observations) -> None:
    """A prompt is in the run's conf and in the rendered fields: in no trigger, ledger, XCom, log or error."""
    assert observations.search.locations("the prompt") == CONF | RENDERED


def test_links_are_only_in_results(observations: Observations) -> None:
    """A link is in the result and in what is derived from it: in no trigger, event, log or error."""
    assert observations.search.locations("a link") == RESULTS | RENDERED


def test_a_callback_url_is_shown_as_the_author_wrote_it(observations: Observations) -> None:
    """A literal token is only where Airflow shows arguments; a token from a connection is nowhere."""
    assert observations.search.locations("the token") == CONF | RENDERED
    assert observations.search.found["the hidden token"] == {}
    assert observations.rendered["hidden_callback"]["callback_url"] == f"{CALLBACK}***"
    [callback] = observations.evolink["hidden_callback"]["callbacks"]
    assert callback["url"] == CALLBACK + HIDDEN_TOKEN
