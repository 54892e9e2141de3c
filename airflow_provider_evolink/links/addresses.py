# SPDX-License-Identifier: Apache-2.0
"""Addresses of landed files and of the pages that show them. Pure.

All are relative to Airflow's own base URL and begin without a slash. Airflow's UI resolves them against it, so they
hold for a base URL such as ``https://host/airflow`` too.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

MOUNT = "evolink"
VIDEO_TAB = "evolink-video"
GALLERY_TAB = "evolink-gallery"
UNMAPPED = -1


def entries(dag_id: str, run_id: str, task_id: str | None = None, map_index: int | None = None) -> str:
    """Return the address of the list of entries, as JSON.

    :param task_id: of which to list the entries. Default: of all tasks of the run.
    :param map_index: of the task instance, -1 if it is not mapped. Default: all instances of the task.
    """
    return _in_app(dag_id, "entries", run_id, task_id, map_index)


def file(dag_id: str, run_id: str, task_id: str, map_index: int = UNMAPPED, number: int = 0) -> str:
    """Return the address of a landed file.

    :param number: of the file among those of its task instance, from 0.
    """
    return _in_app(dag_id, f"files/{number:d}", run_id, task_id, map_index)


def poster(dag_id: str, run_id: str, task_id: str, map_index: int = UNMAPPED, number: int = 0) -> str:
    """Return the address of the poster of a landed file; parameters as for :func:`file`."""
    return _in_app(dag_id, f"posters/{number:d}", run_id, task_id, map_index)


def video_page(dag_id: str, run_id: str, task_id: str, map_index: int | None = None) -> str:
    """Return the address of the page in the tab of a task instance."""
    return _in_app(dag_id, "video", run_id, task_id, map_index)


def gallery_page(dag_id: str, run_id: str) -> str:
    """Return the address of the page in the tab of a run."""
    return _in_app(dag_id, "gallery", run_id)


def video_tab(dag_id: str, run_id: str, task_id: str, map_index: int = UNMAPPED) -> str:
    """Return the address of the tab of a task instance in Airflow's UI, which sends a reader to the login and back."""
    mapped = "" if map_index < 0 else f"/mapped/{map_index:d}"
    return f"{_run(dag_id, run_id)}/tasks/{_part(task_id)}{mapped}/plugin/{VIDEO_TAB}"


def gallery_tab(dag_id: str, run_id: str) -> str:
    """Return the address of the tab of a run in Airflow's UI."""
    return f"{_run(dag_id, run_id)}/plugin/{GALLERY_TAB}"


def _in_app(dag_id: str, name: str, run_id: str, task_id: str | None = None, map_index: int | None = None) -> str:
    given = {"run_id": run_id, "task_id": task_id, "map_index": map_index}
    query = urlencode({key: value for key, value in given.items() if value is not None}, quote_via=quote, safe="")
    return f"{MOUNT}/dags/{_part(dag_id)}/{name}?{query}"


def _run(dag_id: str, run_id: str) -> str:
    return f"dags/{_part(dag_id)}/runs/{_part(run_id)}"


def _part(text: str) -> str:
    return quote(text, safe="")
