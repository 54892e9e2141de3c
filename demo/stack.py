# SPDX-License-Identifier: Apache-2.0
"""A whole Airflow as a user would run it: api-server, scheduler, dag-processor and triggerer, on SQLite."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import httpx

from demo.environment import airflow_environment, free_port
from demo.processes import Processes
from demo.rest import AirflowApi

# Their logs are read from the shared folder: no log servers, which would listen on all interfaces.
COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
FINAL_STATES = frozenset({"success", "failed"})
_CREATE_TABLES = "from airflow.utils.db import initdb; initdb()"  # `airflow db migrate` does the same in twice the time


class AirflowStack:
    """An Airflow that lives as long as its context.

    ``with AirflowStack(tmp_path, dags, env={"AIRFLOW_CONN_EVOLINK_DEFAULT": …}) as stack:`` comes back when all
    components are healthy; ``stack.api`` is its REST API.

    :param home: its AIRFLOW_HOME; logs of the components are in ``home/components``.
    :param dags_folder: where its DAG files are.
    :param env: variables that it gets beside its own: connections and settings.
    :param tell: is called with each new phase of the start, in words.
    :param processes: those that Airflow needs; waiting ends when one of them dies, too, and they end with Airflow.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        env: Mapping[str, str] | None = None,
        tell: Callable[[str], object] = str,
        processes: Processes | None = None,
    ) -> None:
        port = free_port()
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self.api = AirflowApi(self.url)
        self.processes = processes or Processes(home / "components")
        self.environment = airflow_environment(home, dags_folder, port) | dict(env or {})
        self._tell = tell
        self._phase = ""
        self._exits = ExitStack()

    def start(self, component: str) -> None:
        """Start one component, also again after it was killed.

        :param component: a key of ``COMPONENTS``.
        """
        command = [sys.executable, "-m", "airflow", *COMPONENTS[component]]
        self.processes.start(component, command, self.environment)

    def kill(self, component: str) -> None:
        """Kill a component and all that it has started, as a crash would."""
        self.processes.kill(component)

    def stop(self, component: str) -> None:
        """End a component as an administrator would."""
        self.processes.stop([component])

    def wait_until(self, what: str, probe: Callable[[], Any], timeout: float = 60.0) -> Any:
        """Wait for something, while every component lives.

        :param what: is waited for, in words.
        :param probe: returns something true once it is there.
        :param timeout: seconds.
        :return: what the probe returned.
        :raises DemoError: a component died, or it did not come in time.
        """

        def patiently() -> Any:
            with suppress(httpx.TransportError):  # whether the api-server has died or is busy, others find out
                return probe()

        return self.processes.wait_until(what, patiently, timeout)

    def wait_forever(self) -> NoReturn:
        """Wait until a component dies, or somebody interrupts.

        :raises DemoError: a component died.
        """
        while True:
            self.processes.check()
            time.sleep(1)

    def wait_for_dag(self, dag_id: str, timeout: float = 60.0) -> None:
        """Wait until a DAG has been parsed. It is paused then, as all are; see ``api.unpause``.

        :raises DemoError: it can't be imported, or did not come in time.
        """
        self.wait_until(f"the DAG {dag_id}", lambda: self.api.has_dag(dag_id), timeout)

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 300.0) -> str:
        """Wait until a run is over, and return its state.

        :raises DemoError: it did not end in time.
        """
        states: list[str] = []

        def is_over() -> bool:
            states.append(self.api.run_state(dag_id, run_id))
            return states[-1] in FINAL_STATES

        self.wait_until(f"the end of run {run_id}", is_over, timeout)
        return states[-1]

    def _create_tables(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.processes.start("database", [sys.executable, "-c", _CREATE_TABLES], self.environment)
        self.processes.finish("database", timeout=180)

    def _bring_up(self) -> None:
        self._enter_phase("creating the database")
        self._create_tables()
        for component in COMPONENTS:
            self.start(component)
        self.wait_until("Airflow's components", self._is_up, timeout=180)

    def _is_up(self) -> bool:
        missing = self.api.missing()
        if missing:
            self._enter_phase(f"starting {', '.join(missing)}")
        return not missing

    def _enter_phase(self, phase: str) -> None:
        if phase != self._phase:
            self._phase = phase
            self._tell(phase)

    def __enter__(self) -> Self:
        """Start everything, and wait until it is healthy.

        :raises DemoError: something did not start.
        """
        with ExitStack() as exits:
            exits.callback(self.api.close)
            exits.enter_context(self.processes)
            self._bring_up()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        self._exits.__exit__(kind, error, trace)
