# SPDX-License-Identifier: Apache-2.0
"""Reads a task instance's ledger through Airflow's REST API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from testkit.airflow_api import AirflowApi


def ledger_of(api: AirflowApi, task_instance: str, **params: Any) -> dict[str, Any]:
    """Return a task instance's newest record; empty if there is none.

    :param task_instance: its path below the API's, such as ``dags/.../taskInstances/generate``.
    :param params: query parameters such as ``map_index``.
    """
    try:
        entries = api.get(f"{task_instance}/state-store", limit=100, **params)["task_state_store"]
    except httpx.HTTPStatusError:
        return {}
    return newest(entries)


def newest(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the record of the latest attempt among the entries of a task state store."""
    records = {_try_of(entry["key"]): entry["value"] for entry in entries if _is_record(entry["key"])}
    latest = records[max(records)] if records else {}
    return json.loads(latest) if isinstance(latest, str) else dict(latest)


def _is_record(key: str) -> bool:
    return key.partition(".")[0] == "evolink"


def _try_of(key: str) -> int:
    return int(key.partition(".")[2] or 1)
