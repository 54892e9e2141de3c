# SPDX-License-Identifier: Apache-2.0
"""Airflow as a user sees it, through its public REST API."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import tenacity

from testkit.errors import ServiceError

# The api-server builds its execution API on the first task's request, and responds to nothing meanwhile.
_TIMEOUT_SECONDS = 60.0


def _is_server_error(error: BaseException) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.is_server_error


# On SQLite, Airflow 3.3.2 writes its audit log inside the event loop, and fails with a 500 when another request holds
# the lock and waits for that loop. Such a request has been rolled back, so it may be repeated.
_while_locked = tenacity.retry(
    retry=tenacity.retry_if_exception(_is_server_error),
    stop=tenacity.stop_after_attempt(4),
    wait=tenacity.wait_random(0.2, 1.0),
    reraise=True,
)


class AirflowApi:
    """A client of Airflow's REST API, logged in as admin.

    :param url: address of the api-server.
    :param timeout: seconds to wait for a response.
    :param login: name and password of a user; None where every client is an admin.
    """

    def __init__(self, url: str, timeout: float = _TIMEOUT_SECONDS, login: tuple[str, str] | None = None) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout, trust_env=False)
        self._login = login

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def missing(self) -> list[str]:
        """Return the components that are not healthy yet."""
        try:
            health = self._client.get("/api/v2/monitor/health").raise_for_status().json()
        except httpx.HTTPError:
            return ["api-server"]
        return sorted(name for name, part in health.items() if part["status"] != "healthy")

    def get(self, path: str, **params: Any) -> Any:
        """Read ``/api/v2/{path}``.

        :raises httpx.HTTPStatusError: Airflow refused the request.
        """
        return self._call("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Post JSON to ``/api/v2/{path}``.

        :raises httpx.HTTPStatusError: Airflow refused the request.
        """
        return self._call("POST", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """Patch ``/api/v2/{path}`` with JSON.

        :raises httpx.HTTPStatusError: Airflow refused the request.
        """
        return self._call("PATCH", path, json=body)

    def has_dag(self, dag_id: str) -> bool:
        """Return whether a DAG is parsed.

        :raises ServiceError: a DAG file can't be imported.
        """
        if errors := self.get("importErrors")["import_errors"]:
            raise ServiceError(f"{errors[0]['filename']} can't be imported:\n{errors[0]['stack_trace']}")
        return any(dag["dag_id"] == dag_id for dag in self.get("dags", limit=100)["dags"])

    def add_connection(self, connection_id: str, fields: dict[str, Any]) -> None:
        """Store a connection.

        :param fields: its fields, as in the JSON of an environment variable.
        """
        self.post("connections", {"connection_id": connection_id, **fields})

    def add_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool that counts deferred tasks, too."""
        self.post("pools", {"name": name, "slots": slots, "description": description, "include_deferred": True})

    def manual_dags(self) -> list[str]:
        """Return the DAGs that run only when somebody starts them."""
        dags = self.get("dags", limit=100)["dags"]
        return [dag["dag_id"] for dag in dags if dag["timetable_summary"] is None]

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG."""
        self.patch(f"dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Trigger a DAG run, and return its id.

        :param conf: values of the DAG's params.
        """
        run = self.post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}})
        return str(run["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a DAG run."""
        return str(self.get(_run(dag_id, run_id))["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a DAG run, mapped ones included."""
        found: list[dict[str, Any]] = []
        while True:  # Airflow returns at most 100 per page, whatever the limit
            page = self.get(f"{_run(dag_id, run_id)}/taskInstances", limit=100, offset=len(found))
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task of a DAG run; use :meth:`task_instances` for mapped tasks."""
        return {task["task_id"]: task["state"] for task in self.task_instances(dag_id, run_id)}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom value of a task; None if it is not there (yet)."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{quote(key, safe='')}"
        try:
            value = self.get(path, map_index=map_index, deserialize=True)["value"]
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        return _plain(value)

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return a task's log as text, with the lines of its trigger and the exceptions of the attempt."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/logs/{try_number}"
        content = self.get(path, map_index=map_index, full_content=True)["content"]
        return "\n".join(entry if isinstance(entry, str) else _text(entry) for entry in content)

    @_while_locked
    def _call(self, method: str, path: str, **options: Any) -> Any:
        if "Authorization" not in self._client.headers:
            self._client.headers["Authorization"] = f"Bearer {self._token()}"
        response = self._client.request(method, f"/api/v2/{path}", **options)
        response.raise_for_status()
        return response.json() if response.content else None

    def _token(self) -> str:
        if self._login is None:
            response = self._client.get("/auth/token")
        else:
            body = dict(zip(("username", "password"), self._login, strict=True))
            response = self._client.post("/auth/token", json=body)
        return str(response.raise_for_status().json()["access_token"])


def _run(dag_id: str, run_id: str) -> str:
    return f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _text(entry: dict[str, Any]) -> str:
    """Return a log line with its exceptions, which Airflow lists beside the message."""
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or []]
    return "\n".join([str(entry.get("event", "")), *errors])


def _plain(value: Any) -> Any:
    """Decode JSON that Airflow returns as a string."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value
