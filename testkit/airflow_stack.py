# SPDX-License-Identifier: Apache-2.0
"""A whole Airflow as a user runs it: api-server, scheduler, dag-processor and triggerer, on SQLite."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import httpx

from testkit.airflow_api import AirflowApi
from testkit.environment import airflow_environment, free_port
from testkit.processes import Processes

# Logs are read from the shared folder: log servers would listen on all interfaces.
COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
FINAL_STATES = frozenset({"success", "failed"})
_CREATE_TABLES = "from airflow.utils.db import initdb; initdb()"  # half the time of `airflow db migrate`


class AirflowStack:
    """A running Airflow that lives as long as its context.

    ``with AirflowStack(tmp_path, dags, env={"AIRFLOW_CONN_EVOLINK_DEFAULT": "..."}) as stack:`` returns when all
    components are healthy; ``stack.api`` is its REST API.

    :param home: its AIRFLOW_HOME; the components log to ``home/components``.
    :param dags_folder: folder of its DAG files.
    :param env: environment variables in addition to its own: connections and settings.
    :param on_phase: called with each new phase of the start.
    :param processes: services that Airflow needs: waiting also fails when one of them dies, and they stop with Airflow.
    :param path: below which the api-server serves, such as ``/airflow``.
    :param login: name and password of an administrator; None where every client is one.
    :param arguments: further arguments of components, such as ``{"triggerer": ["--queues", "gpu"]}``.
    :param setup: commands of Airflow's CLI to run before the components start, such as ``["teams", "create", "red"]``.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        env: Mapping[str, str] | None = None,
        on_phase: Callable[[str], object] = str,
        processes: Processes | None = None,
        path: str = "",
        login: tuple[str, str] | None = None,
        arguments: Mapping[str, Sequence[str]] | None = None,
        setup: Sequence[Sequence[str]] = (),
    ) -> None:
        port = free_port()
        self.home = home
        self.url = f"http://127.0.0.1:{port}{path}"
        self.api = AirflowApi(self.url, login=login)
        self.processes = processes or Processes(home / "components")
        self.environment = airflow_environment(home, dags_folder, port, path) | dict(env or {})
        self._arguments = dict(arguments or {})
        self._setup = setup
        self._on_phase = on_phase
        self._phase = ""
        self._exits = ExitStack()

    def start(self, component: str) -> None:
        """Start a component, also again after a kill.

        :param component: a key of ``COMPONENTS``.
        """
        self._start(component, [*COMPONENTS[component], *self._arguments.get(component, ())])

    def kill(self, component: str) -> None:
        """Kill a component and every process it has started, as a crash of its machine would."""
        self.processes.kill(component)

    def stop(self, component: str) -> None:
        """Stop a component as an administrator would."""
        self.processes.stop([component])

    def wait_until(self, what: str, probe: Callable[[], Any], timeout: float = 60.0) -> Any:
        """Wait for a condition while every component is alive.

        :param what: what is waited for, for the error message.
        :param probe: returns something truthy once it is there.
        :param timeout: seconds.
        :return: what the probe returned.
        :raises ServiceError: a component died, or the time is up.
        """

        def tolerant_probe() -> Any:
            with suppress(httpx.TransportError):  # busy or dead: the process check tells which
                return probe()

        return self.processes.wait_until(what, tolerant_probe, timeout)

    def wait_forever(self) -> NoReturn:
        """Wait until a component dies or a signal interrupts.

        :raises ServiceError: a component died.
        """
        while True:
            self.processes.check()
            time.sleep(1)

    def wait_for_dag(self, dag_id: str, timeout: float = 60.0) -> None:
        """Wait until a DAG is parsed. It is paused then, as all new DAGs are; see ``api.unpause``.

        :param timeout: seconds.
        :raises ServiceError: it can't be imported, or the time is up.
        """
        self.wait_until(f"the DAG {dag_id}", lambda: self.api.has_dag(dag_id), timeout)

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 300.0) -> str:
        """Wait until a DAG run has ended, and return its state.

        :param timeout: seconds.
        :raises ServiceError: the time is up.
        """
        states: list[str] = []

        def has_ended() -> bool:
            states.append(self.api.run_state(dag_id, run_id))
            return states[-1] in FINAL_STATES

        self.wait_until(f"the end of run {run_id}", has_ended, timeout)
        return states[-1]

    def _start(self, name: str, arguments: Sequence[str]) -> None:
        # A checkout has the metadata of a build: with the current folder on its path, Airflow would find plugins twice.
        self.processes.start(name, [sys.executable, "-P", "-m", "airflow", *arguments], self.environment)

    def _create_tables(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.processes.start("database", [sys.executable, "-c", _CREATE_TABLES], self.environment)
        self.processes.finish("database", timeout=180)

    def _bring_up(self) -> None:
        self._enter_phase("creating the database")
        self._create_tables()
        for arguments in self._setup:
            self._start("setup", arguments)
            self.processes.finish("setup", timeout=120)
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
            self._on_phase(phase)

    def __enter__(self) -> Self:
        """Start all components and wait until they are healthy.

        :raises ServiceError: a component did not start.
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
        """Stop everything."""
        self._exits.__exit__(kind, error, trace)
