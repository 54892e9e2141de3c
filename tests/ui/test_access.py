# SPDX-License-Identifier: Apache-2.0
"""Nobody sees more of a DAG than Airflow shows them."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from airflow_provider_evolink.links import addresses
from tests.marks import needs_state_stores
from tests.ui.airflow_ui import RUN_ID, AirflowUi, add_task_instance
from tests.ui.auth_manager import ACCOUNTANT, ADMIN, GUEST, OTHER_DAG, OWN_DAG
from tests.ui.landed import landed, record

ROUTES = ("entries", "files/0", "posters/0", "video", "gallery")
ODD_IDS = (
    "~",
    "%7E",
    "~%00",
    "%00",
    "*",
    "%25",
    "shop%20",
    "SHOP",
    "shop%0A",
    "..",
    "%2E%2E",
    "a" * 300,
    "%FF",
    "nobody",
)


def address(route: str, dag_id: str = OWN_DAG) -> str:
    """Return the address of a route for the task instance ``land``."""
    return addresses.file(dag_id, RUN_ID, "land").replace("files/0", route)


@pytest.fixture(autouse=True)
def _files(videos: Path, ui: AirflowUi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A landed file with its poster in each of two DAGs, and pages."""
    pages = tmp_path / "pages"
    pages.mkdir()
    for name in ("video.html", "gallery.html", "page.js", "page.css", "notes.txt"):
        (pages / name).write_text(f"/* {name} */")
    monkeypatch.setattr("airflow_provider_evolink.ui.app.PAGES", pages)
    (videos / "0.mp4").write_bytes(b"video")
    (videos / "0.mp4.poster.jpg").write_bytes(b"poster")
    file = landed(videos / "0.mp4", poster=f"file://{videos}/0.mp4.poster.jpg")
    for dag_id in (OWN_DAG, OTHER_DAG):
        add_task_instance(dag_id=dag_id, return_value=record(file))


@pytest.mark.parametrize(
    ("method", "route"), [*(("GET", route) for route in ROUTES), ("HEAD", "files/0"), ("HEAD", "posters/0")]
)
def test_a_user_sees_the_own_dag_only(ui: AirflowUi, method: str, route: str) -> None:
    """Without a login every route answers 401, for a foreign DAG 403, for an own one 200."""
    with ui.client(None) as anonymous, ui.client(GUEST) as guest, ui.client(ADMIN) as admin:
        assert anonymous.request(method, address(route)).status_code == 401
        assert anonymous.request(method, address(route, OTHER_DAG)).status_code == 401
        assert guest.request(method, address(route, OTHER_DAG)).status_code == 403
        assert guest.request(method, address(route)).status_code == 200
        assert admin.request(method, address(route, OTHER_DAG)).status_code == 200


@pytest.mark.parametrize("dag_id", ODD_IDS)
def test_only_the_exact_id_of_a_dag_counts(ui: AirflowUi, dag_id: str) -> None:
    """What is no id of a DAG gives nobody anything, also not as a name for all DAGs, and no error of the server."""
    query = address("").partition("?")[2]
    with ui.client(ADMIN) as admin, ui.client(GUEST) as guest, ui.client(None) as anonymous:
        for route in ROUTES:
            path = f"evolink/dags/{dag_id}/{route}?{query}"
            assert admin.get(path).status_code == 404
            assert guest.get(path).status_code in {403, 404}
            assert anonymous.get(path).status_code in {401, 404}


def test_a_second_dag_id_changes_nothing(guest: httpx.Client) -> None:
    """A DAG that the query names is not the one that is read, nor the one whose permission is checked."""
    assert guest.get(f"{address('entries', OTHER_DAG)}&dag_id={OWN_DAG}").status_code == 403
    assert guest.get(f"{address('entries')}&dag_id={OTHER_DAG}").json()["entries"]


def test_a_forged_token_is_refused(ui: AirflowUi) -> None:
    """A token that Airflow has not signed opens nothing, in the cookie or in the header."""
    with ui.client(None) as client:
        for headers in ({"Cookie": "_token=x.y.z"}, {"Authorization": "Bearer x.y.z"}):
            assert client.get(address("files/0"), headers=headers).status_code in {401, 403}


def test_scripts_and_styles_require_a_login(ui: AirflowUi, guest: httpx.Client) -> None:
    """The parts of a page are there for every user, and nothing else of the package's folder."""
    with ui.client(None) as anonymous:
        assert anonymous.get("evolink/static/page.js").status_code == 401
    assert guest.get("evolink/static/page.js").headers["content-type"].startswith("text/javascript")
    assert guest.get("evolink/static/page.css").headers["content-type"].startswith("text/css")
    for name in ("notes.txt", "video.html", "..%2Fapp.py", "%2e%2e", "nothing.js"):
        assert guest.get(f"evolink/static/{name}").status_code == 404


def test_pages_run_their_own_scripts_only(guest: httpx.Client) -> None:
    """A page may run scripts of this server only, and is shown in Airflow's own frames only."""
    for route in ("video", "gallery"):
        policy = guest.get(address(route)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'self'" in policy
        assert "unsafe" not in policy


def test_nothing_describes_the_app_to_strangers(ui: AirflowUi) -> None:
    """The app has no documentation of its own, which would need no login."""
    with ui.client(None) as anonymous:
        for path in ("evolink/docs", "evolink/redoc", "evolink/openapi.json", "evolink/"):
            assert anonymous.get(path).status_code == 404


@needs_state_stores
def test_prompts_need_the_permission_to_read_task_instances(ui: AirflowUi) -> None:
    """Who may read XComs but no task instances sees the files, and neither prompts nor why a task has failed."""
    add_task_instance(
        "fail", state="failed", generation_id="task-unified-9", rendered={"prompt": "a cat"},
        ledger={"phase": "failed", "intent_at": 1.0, "error": "refused"},
    )  # fmt: skip
    path = addresses.entries(OWN_DAG, RUN_ID)
    with ui.client(ACCOUNTANT) as accountant, ui.client(GUEST) as guest:
        seen = {entry["task_id"]: entry for entry in guest.get(path).json()["entries"]}
        hidden = {entry["task_id"]: entry for entry in accountant.get(path).json()["entries"]}
        assert accountant.get(address("files/0")).status_code == 200
    assert (seen["fail"]["prompt"], seen["fail"]["error"]) == ("a cat", "refused")
    assert hidden["land"]["servable"]
    assert hidden["fail"]["prompt"] is None
    assert "refused" not in str(hidden["fail"]["error"])


def test_prompts_in_a_manifest_need_it_too(ui: AirflowUi, videos: Path) -> None:
    """Whoever may read no task instances gets a batch's rows without the prompts that its manifest has."""
    line = {"key": "a", "status": "failed", "uris": [], "prompt": "a cat", "model": "m", "seconds": 71.5, "credits": 4}
    (videos / "manifest.jsonl").write_text(json.dumps(line))
    add_task_instance("rows", return_value={"manifest": f"file://{videos}/manifest.jsonl", "total": 1})
    path = addresses.entries(OWN_DAG, RUN_ID, "rows")
    with ui.client(ACCOUNTANT) as accountant, ui.client(GUEST) as guest:
        [seen], [hidden] = (client.get(path).json()["entries"] for client in (guest, accountant))
    assert [seen[name] for name in ("prompt", "model", "duration", "credits")] == ["a cat", "m", 71.5, 4]
    assert hidden == {**seen, "prompt": None}
