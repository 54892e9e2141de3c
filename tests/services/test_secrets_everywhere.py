"""
Nothing secret is anywhere it should not be: on a real Airflow, in all it writes, whatever goes wrong.

The demo's DAG and one run of all cases are played once; the tests then look at what the search has found. The places
where a secret may be are listed, and must be found: so it is known that the search sees.
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
from demo.receiver import Receiver
from demo.rest import AirflowApi
from demo.stack import AirflowStack
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
# What Airflow itself keeps of a user's input, and shows to those who may see the run.
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
class Aftermath:
    """What is left when everything has run."""

    search: Search
    states: dict[str, Any] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    rendered: dict[str, dict[str, Any]] = field(default_factory=dict)
    evolink: dict[str, dict[str, Any]] = field(default_factory=dict)
    published: list[Any] = field(default_factory=list)


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """Play everything on an Airflow, and search while it plays, afterwards, and when it is down."""
    folder = tmp_path_factory.mktemp("secrets")
    with evolinks() as handles, running(Settings(clock=10.0, api_keys=(KEY,))) as default, Receiver() as receiver:
        stack = AirflowStack(folder / "airflow", _dags(folder), _environment(folder, handles, default, receiver))
        search = Search(SECRETS, stack.environment["AIRFLOW__CORE__FERNET_KEY"])
        left = Aftermath(search, published=receiver.published)
        with stack:
            _store(stack.api, search, connections(handles))
            with repeatedly(lambda: _watch(stack, search)):
                _play(stack, handles, folder, left)
            search.files(folder)
        search.files(folder)
        handles["hidden_callback"].control.advance(3600)  # its callback is due
        left.evolink = {name: handle.control.state() for name, handle in {**handles, "default": default}.items()}
        yield left


def _dags(folder: Path) -> Path:
    """Put the demo's DAG and that of the cases into a folder of their own."""
    dags = folder / "dags"
    shutil.copytree(ROOT / "dags" / "pictures", dags / "pictures")
    shutil.copy(ROOT / "dags" / f"{DEMO}.py", dags)
    shutil.copy(Path(__file__).parent / "dags" / f"{DAG}.py", dags)
    return dags


def _environment(
    folder: Path, handles: dict[str, EmulatorHandle], default: EmulatorHandle, receiver: Receiver
) -> dict[str, str]:
    temporary = folder / "tmp"
    temporary.mkdir()
    kept = {name: one for name, one in connections(handles).items() if name != "evolink_stored"}
    return {
        **as_environment(kept),
        "AIRFLOW_CONN_EVOLINK_DEFAULT": default.airflow_connection,
        "AIRFLOW_CONN_PUBLISH_WEBHOOK": receiver.connection,
        "AIRFLOW_CONN_CALLBACK_TOKEN": json.dumps({"conn_type": "generic", "password": HIDDEN_TOKEN}),
        "AIRFLOW__EVOLINK__POLL_INTERVAL": "1",
        "TMPDIR": str(temporary),
    }


def _store(api: AirflowApi, search: Search, known: dict[str, dict[str, str]]) -> None:
    """Test connections and store one, as a user does in the UI."""
    told = [
        api.post("connections/test", {"connection_id": name, **known[name]})
        for name in ("evolink_stored", "evolink_wrong_key")
    ]
    told.append(api.post("connections", {"connection_id": "evolink_stored", **known["evolink_stored"]}))
    told.append(api.get("connections"))
    search.look("REST connections", json.dumps(told))


def _watch(stack: AirflowStack, search: Search) -> None:
    search.processes(stack.processes.members())
    search.database(stack.home / "airflow.db")


def _play(stack: AirflowStack, handles: dict[str, EmulatorHandle], folder: Path, left: Aftermath) -> None:
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
    stack.wait_until("both runs", lambda: _are_over(stack, runs, left), timeout=250)
    for dag, run in runs.items():
        _read(stack.api, dag, run, left)


def _are_over(stack: AirflowStack, runs: dict[str, str], left: Aftermath) -> bool:
    """Look at the tasks as a user does, and mark one as failed while it is deferred."""
    for dag, run in runs.items():
        tasks = stack.api.task_instances(dag, run)
        left.search.look("REST taskInstances", json.dumps(tasks, ensure_ascii=False))
        left.states.update({task["task_id"]: task["state"] for task in tasks})
    if left.states["marked"] == "deferred" and left.search.rows["trigger"]:
        stack.api.patch(f"{_path(DAG, runs[DAG])}/taskInstances/marked", {"new_state": "failed"})
    return set(left.states.values()) <= OVER


def _read(api: AirflowApi, dag: str, run: str, left: Aftermath) -> None:
    """Read all that Airflow tells about a run."""
    look = left.search.look
    for what, path in (
        ("dagRuns", _path(dag, run)),
        ("dagSources", f"dagSources/{dag}"),
        ("details", f"dags/{dag}/details"),
        ("eventLogs", "eventLogs?limit=1000"),
        ("importErrors", "importErrors"),
    ):
        look(f"REST {what}", json.dumps(api.get(path), ensure_ascii=False))
    for task in api.task_instances(dag, run):
        name = task["task_id"]
        left.rendered[name] = task["rendered_fields"]
        path = f"{_path(dag, run)}/taskInstances/{name}"
        entries = api.get(f"{path}/xcomEntries")["xcom_entries"]
        look("REST xcomEntries", json.dumps([entries, [api.xcom(dag, run, name, one["key"]) for one in entries]]), name)
        look("REST state-store", json.dumps(api.get(f"{path}/state-store")), name)
        left.logs[name] = json.dumps(api.get(f"{path}/logs/1", full_content=True), ensure_ascii=False)
        look("REST logs", left.logs[name], name)
        left.search.searched["task logs"] += 1


def _path(dag: str, run: str) -> str:
    return f"dags/{dag}/dagRuns/{quote(run, safe='')}"


def test_every_case_is_what_it_claims(aftermath: Aftermath) -> None:
    """Each task has ended as it was to end and says why: the search was not of an Airflow where nothing happened."""
    said = {name: case.says in aftermath.logs[name] for name, case in CASES.items()}
    assert said == dict.fromkeys(CASES, True)
    expected = {name: case.state for name, case in CASES.items()}
    assert aftermath.states == {**expected, "generate": "success", "land": "success", "publish": "success"}
    assert len(aftermath.published) == 1


def test_everything_was_searched(aftermath: Aftermath) -> None:
    """Files, processes, logs and rows of every kind were there to be searched, those of deferred tasks too."""
    searched, rows = aftermath.search.searched, aftermath.search.rows
    assert searched["log file"] >= len(CASES)
    assert searched["task logs"] == len(aftermath.states)
    assert searched["database file"] >= 2
    assert searched["processes"] >= 4 + len(aftermath.states)
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
    assert any(place.startswith("trigger.kwargs") for place in aftermath.search.found["an id"])


def test_the_key_is_only_in_the_stored_connection_and_encrypted(aftermath: Aftermath) -> None:
    """No log, XCom, row, rendered field, trigger, process argument or exception has it, in whatever spelling."""
    assert aftermath.search.places("the key") == {"connection.password, encrypted", "database file, encrypted"}


def test_a_key_that_is_refused_or_echoed_is_nowhere(aftermath: Aftermath) -> None:
    """A wrong key may be good elsewhere; EvoLink's echo of it, in an error or in a result, is cut out."""
    assert aftermath.search.found["the odd key"] == {}


def test_evolink_got_keys_only_where_they_belong(aftermath: Aftermath) -> None:
    """Of all requests, to whatever end, none had a key but in its Authorization header, and media requests none."""
    assert {name: state["api_key_leaks"] for name, state in aftermath.evolink.items() if state["api_key_leaks"]} == {}
    assert aftermath.evolink["default"]["requests"]["media"] >= 1
    assert sum(state["requests"]["total"] for state in aftermath.evolink.values()) >= len(CASES)


def test_prompts_are_only_where_the_author_put_them(aftermath: Aftermath) -> None:
    """A prompt is in the run's conf and in the rendered fields: in no trigger, ledger, XCom, log or error."""
    assert aftermath.search.places("the prompt") == CONF | RENDERED


def test_links_are_only_in_results(aftermath: Aftermath) -> None:
    """A link is in the result, and in what is made of it: in no trigger, event, log or error."""
    assert aftermath.search.places("a link") == RESULTS | RENDERED


def test_a_callback_url_is_shown_as_the_author_wrote_it(aftermath: Aftermath) -> None:
    """A token written into it is where Airflow shows arguments and no further; one from a connection is nowhere."""
    assert aftermath.search.places("the token") == CONF | RENDERED
    assert aftermath.search.found["the hidden token"] == {}
    assert aftermath.rendered["hidden_callback"]["callback_url"] == f"{CALLBACK}***"
    [callback] = aftermath.evolink["hidden_callback"]["callbacks"]
    assert callback["url"] == CALLBACK + HIDDEN_TOKEN
