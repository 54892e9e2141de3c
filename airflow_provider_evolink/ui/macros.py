# SPDX-License-Identifier: Apache-2.0
"""Macros that show landed files in Markdown, such as the body of an ``ApprovalOperator``.

Airflow's UI drops HTML and data URLs from Markdown, and resolves relative addresses against its own base URL. Links
lead to its routes, not to the pages behind them, so that a reader who is logged out comes back after the login.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_evolink.links import addresses
from airflow_provider_evolink.links.landed import landed_of

_NOWHERE = -2  # no map index


def poster(ti: Any, task_id: str, map_index: int | None = None) -> str:
    """Return Markdown with the posters of a task's landed files, each a link to where the files are played.

    :param ti: the task instance that asks, ``ti`` in a template.
    :param task_id: id of the task of the same run that has landed the files.
    :param map_index: of that task, -1 if it is not mapped. Default: that of ``ti`` if the task has one there.
    :return: the posters side by side, at most 300 pixels wide each; what :func:`watch` returns if there are none.
    """
    index, files = _find(ti, task_id, map_index)
    images = [
        addresses.poster(ti.dag_id, ti.run_id, task_id, index, number)
        for number, file in enumerate(files)
        if file.get("poster")
    ]
    tab = _tab(ti, task_id, index)
    return " ".join(f"[![Watch]({image})]({tab})" for image in images) or watch(ti, task_id, map_index)


def watch(ti: Any, task_id: str, map_index: int | None = None, text: str = "Watch") -> str:
    """Return a Markdown link to the tab in which a task's landed files are played.

    It leads to the gallery of the whole run if the task has landed nothing under this map index.

    :param ti: the task instance that asks, ``ti`` in a template.
    :param task_id: id of the task of the same run that has landed the files.
    :param map_index: of that task, -1 if it is not mapped. Default: that of ``ti`` if the task has one there.
    :param text: what the link reads.
    """
    index, _ = _find(ti, task_id, map_index)
    return f"[{text}]({_tab(ti, task_id, index)})"


def _find(ti: Any, task_id: str, map_index: int | None) -> tuple[int, list[Any]]:
    """Return under which map index a task of this run has returned something, and what it has landed."""
    for index in dict.fromkeys([ti.map_index, addresses.UNMAPPED] if map_index is None else [map_index]):
        value = ti.xcom_pull(task_ids=task_id, map_indexes=index)
        if value is not None:
            landed = landed_of(value)
            return index, landed if isinstance(landed, list) else []
    return _NOWHERE, []


def _tab(ti: Any, task_id: str, index: int) -> str:
    if index == _NOWHERE:
        return addresses.gallery_tab(ti.dag_id, ti.run_id)
    return addresses.video_tab(ti.dag_id, ti.run_id, task_id, index)
