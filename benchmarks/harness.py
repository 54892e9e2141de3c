# SPDX-License-Identifier: Apache-2.0
"""Runs measurements: for each a fresh stub on one core and a fresh client on the other, with a new certificate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.endpoint import PORT_VARIABLE
from benchmarks.measured import Measured
from benchmarks.stub_process import CLIENT_CORE, on_core, running_stub
from testkit.certificates import issue_certificate
from testkit.environment import clean_environment


@dataclass(frozen=True)
class Harness:
    """A temporary Airflow home with a certificate.

    :param folder: the home.
    :param certificate: PEM file with the stub's certificate and private key.
    """

    folder: Path
    certificate: Path

    def measure(self, contender: Contender, count: int) -> Measured:
        """Run one crowd against its own stub."""
        found = self.run("benchmarks.child", [contender.key, str(count)], takes_batches=contender.takes_batches)
        return Measured(**found)

    def run(self, module: str, arguments: Sequence[str], *, takes_batches: bool) -> Any:
        """Run a module as a client of a fresh stub.

        :param module: its name.
        :param arguments: its command line.
        :param takes_batches: whether the stub offers a batch endpoint.
        :return: the JSON that it prints last.
        """
        with running_stub("benchmarks.stub", self.certificate, *([] if takes_batches else ["--no-batch"])) as port:
            command = [sys.executable, "-m", module, *arguments, *on_core(CLIENT_CORE)]
            done = subprocess.run(command, env=self._environment(port), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def _environment(self, port: int) -> Mapping[str, str]:
        return clean_environment() | {
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder / 'airflow.db'}",
            "AIRFLOW__SECRETS__BACKEND": "benchmarks.connections.Connections",
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "SSL_CERT_FILE": str(self.certificate),
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            PORT_VARIABLE: str(port),
            **{name: value for name, value in os.environ.items() if name.startswith("EVOLINK_BENCHMARK_")},
        }


@contextmanager
def running_harness() -> Iterator[Harness]:
    """Set a harness up as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="evolink-benchmark-") as folder:
        yield Harness(Path(folder), issue_certificate("127.0.0.1", Path(folder)))
