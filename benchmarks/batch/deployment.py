# SPDX-License-Identifier: Apache-2.0
"""An Airflow on PostgreSQL, on one core, and an EvoLink that costs next to nothing, on the other."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.batch.account import COUNTS_PATH
from benchmarks.batch.cases import BATCH, GROUP, LARGE_WINDOW, SINGLE, Case
from benchmarks.batch.database import Database
from benchmarks.batch.rows import CONN_ID
from benchmarks.stub_process import CLIENT_CORE, STUB_CORE, pinned, running_stub
from testkit.airflow_stack import AirflowStack
from testkit.certificates import issue_certificate
from testkit.postgres import running_postgres

ROOT = Path(__file__).parents[2]
_DAGS = Path(__file__).parent / "dags"
_MAX_MAP_LENGTH = 10_000
# Airflow's default, of which a DAG may use 16. With fewer than 16, the LocalExecutor before 3.4 would accept more tasks
# than it has slots, and start them in that order; and what counts would be how many slots are held by supervisors that
# have not noticed the end of their task, each for five seconds.
_SLOTS = 32


@dataclass(frozen=True)
class Deployment:
    """The running services.

    :param folder: for files of the run.
    :param stack: Airflow.
    :param database: of Airflow.
    :param port: of EvoLink.
    :param certificate: of EvoLink, PEM.
    :param api_key: of the connection.
    """

    folder: Path
    stack: AirflowStack
    database: Database
    port: int
    certificate: Path
    api_key: str

    @property
    def address(self) -> str:
        """Scheme, host and port of EvoLink."""
        return f"https://127.0.0.1:{self.port}"

    def requests(self) -> Counter[str]:
        """Return the requests that EvoLink has received, by kind."""
        tls = ssl.create_default_context(cafile=self.certificate)
        with closing(http.client.HTTPSConnection("127.0.0.1", self.port, context=tls)) as connection:
            connection.request("GET", COUNTS_PATH)
            return Counter(json.loads(connection.getresponse().read()))


@contextmanager
def deployed(folder: Path, contenders: Iterable[str]) -> Iterator[Deployment]:
    """Start everything, and pin this process to EvoLink's core.

    :param folder: an empty folder.
    :param contenders: whose DAGs Airflow gets.
    """
    certificate, home, chosen = issue_certificate("127.0.0.1", folder), folder / "airflow", set(contenders)
    with ExitStack() as exits:
        port = exits.enter_context(running_stub("benchmarks.batch.evolink", certificate))
        with pinned(CLIENT_CORE):
            processes, address = exits.enter_context(running_postgres(home))
            env = {
                "PYTHONPATH": str(ROOT),
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address,
                "AIRFLOW__CORE__MAX_MAP_LENGTH": str(_MAX_MAP_LENGTH),
                "AIRFLOW__CORE__PARALLELISM": str(_SLOTS),
                "AIRFLOW__EVOLINK__POSTERS": "False",  # the bare script makes none
            }
            stack = exits.enter_context(AirflowStack(home, _dags(folder, chosen), env, print, processes))
        exits.enter_context(pinned(STUB_CORE))
        database = exits.enter_context(closing(Database(address)))
        deployment = Deployment(folder, stack, database, port, certificate, f"sk-{secrets.token_hex(24)}")
        _connect(deployment)
        for dag_id in _dag_ids(chosen):
            stack.wait_for_dag(dag_id)
            stack.api.unpause(dag_id)
        stack.stop("dag-processor")  # it would parse the files again and again, for all contenders alike
        yield deployment


def _dags(folder: Path, contenders: set[str]) -> Path:
    dags = folder / "dags"
    dags.mkdir()
    for file in _DAGS.glob("*.py"):
        if file.stem in contenders:
            (dags / file.name).write_text(file.read_text())
    return dags


def _dag_ids(contenders: set[str]) -> list[str]:
    cases = [Case(GROUP, 1), Case(SINGLE, 1), Case(BATCH, 1), Case(BATCH, 1, LARGE_WINDOW)]
    return [case.dag_id for case in cases if case.contender in contenders]


def _connect(deployment: Deployment) -> None:
    connection = {
        "connection_id": CONN_ID,
        "conn_type": "evolink",
        "host": deployment.address,
        "password": deployment.api_key,
        "extra": json.dumps({"verify": str(deployment.certificate)}),
    }
    deployment.stack.api.post("connections", connection)
