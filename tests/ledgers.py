# SPDX-License-Identifier: Apache-2.0
"""Reads a task instance's ledger through Airflow's REST API, or in files where Airflow has no store for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

from airflow_provider_evolink.batch.ledger import rows_in_chunk
from airflow_provider_evolink.execution.object_ledger import instance_folder
from testkit.airflow_api import AirflowApi

_NAME = "evolink"

# Where the ledgers are that each Airflow without a store has in files.
FOLDERS: dict[AirflowApi, Path] = {}


def ledger_of(api: AirflowApi, task_instance: str, **params: Any) -> dict[str, Any]:
    """Return a task instance's newest record; empty if there is none.

    :param task_instance: its path below the API's, such as ``dags/.../taskInstances/generate``.
    :param params: query parameters such as ``map_index``.
    """
    return newest(_entries(api, task_instance, **params))


def batch_rows_of(api: AirflowApi, task_instance: str, **params: Any) -> dict[str, dict[str, Any]]:
    """Return the rows in a task instance's newest chunks, by key; empty if there is none.

    :param task_instance: its path below the API's.
    :param params: query parameters such as ``map_index``.
    """
    entries = _entries(api, task_instance, **params)
    names = {entry["key"].partition(".")[0] for entry in entries if entry["key"].startswith(f"{_NAME}-batch-")}
    chunks = [value for name in names if "rows" in (value := newest(entries, name))]
    return {row["key"]: row for chunk in chunks for row in rows_in_chunk(chunk)}


def newest(entries: Iterable[Mapping[str, Any]], name: str = _NAME) -> dict[str, Any]:
    """Return the record of the latest attempt among the entries of a task state store.

    :param name: store key of the first attempt's record.
    """
    records = {_try_of(entry["key"]): entry["value"] for entry in entries if entry["key"].partition(".")[0] == name}
    latest = records[max(records)] if records else {}
    return json.loads(latest) if isinstance(latest, str) else dict(latest)


def _entries(api: AirflowApi, task_instance: str, **params: Any) -> list[dict[str, Any]]:
    if (ledgers := FOLDERS.get(api)) is not None:
        _, dag_id, _, run_id, _, task_id = map(unquote, task_instance.split("/"))
        return list(_in_files(ledgers / instance_folder(dag_id, task_id, run_id, params.get("map_index"))))
    found: list[dict[str, Any]] = []
    while True:
        try:
            page = api.get(f"{task_instance}/state-store", limit=100, offset=len(found), **params)
        except httpx.HTTPStatusError:
            return []
        found += page["task_state_store"]
        if not page["task_state_store"] or len(found) >= page["total_entries"]:
            return found


def _in_files(folder: Path) -> Iterator[dict[str, Any]]:
    for log in folder.glob("*/"):
        newest_file = max(log.glob("*.json"), default=None)
        record = json.loads(newest_file.read_text()) if newest_file else {}
        if "value" in record:
            yield {"key": log.name, "value": record["value"]}


def _try_of(key: str) -> int:
    return int(key.partition(".")[2] or 1)
