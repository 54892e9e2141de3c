# SPDX-License-Identifier: Apache-2.0
"""Sets the scene for a measurement: a fresh stub on one core, a fresh client on the other, a throw-away certificate."""

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

import trustme

from benchmarks.contenders import PORT, Contender
from benchmarks.measured import Measured
from demo.environment import clean_environment

LATENCY = 0.1
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
# The client is what is measured; with one core they have to share it.
_CLIENT_CORE, _STUB_CORE = (_CORES[0], _CORES[1]) if len(_CORES) > 1 else (None, None)


@dataclass(frozen=True)
class Stage:
    """
    A folder with certificates and an Airflow home that nothing is kept in.

    :param folder: which.
    """

    folder: Path

    @property
    def authority(self) -> Path:
        """The certificate that clients trust."""
        return self.folder / "authority.pem"

    @property
    def certificate(self) -> Path:
        """The stub's key and certificate."""
        return self.folder / "stub.pem"

    def measure(self, contender: Contender, count: int) -> Measured:
        """Run one crowd against a stub of its own."""
        found = self.run("benchmarks.child", [contender.key, str(count)], takes_batches=contender.takes_batches)
        return Measured(**found)

    def run(self, module: str, arguments: Sequence[str], *, takes_batches: bool) -> Any:
        """Run a module as a client of a fresh stub, and return the JSON that it prints last."""
        with self._stub(takes_batches) as port:
            command = [sys.executable, "-m", module, *arguments, *_on(_CLIENT_CORE)]
            done = subprocess.run(command, env=self._environment(port), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    @contextmanager
    def _stub(self, takes_batches: bool) -> Iterator[int]:
        command = [sys.executable, "-m", "benchmarks.stub", "--certificate", str(self.certificate)]
        command += [f"--latency={LATENCY}", *_on(_STUB_CORE), *([] if takes_batches else ["--no-batch"])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stub:
            try:
                yield int(stub.stdout.readline() if stub.stdout else 0)
            finally:
                stub.kill()

    def _environment(self, port: int) -> Mapping[str, str]:
        return clean_environment() | {
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder / 'airflow.db'}",
            "AIRFLOW__SECRETS__BACKEND": "benchmarks.lookups.Connections",
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "SSL_CERT_FILE": str(self.authority),
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            PORT: str(port),
            **{name: value for name, value in os.environ.items() if name.startswith("EVOLINK_BENCHMARK_")},
        }


def _on(core: int | None) -> list[str]:
    return [] if core is None else [f"--core={core}"]


@contextmanager
def set_up() -> Iterator[Stage]:
    """Make a stage, and take it down."""
    with tempfile.TemporaryDirectory(prefix="evolink-benchmark-") as folder:
        stage = Stage(Path(folder))
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        authority.cert_pem.write_to_path(stage.authority)
        authority.issue_cert(
            "127.0.0.1", "localhost", key_type=trustme.KeyType.ECDSA
        ).private_key_and_cert_chain_pem.write_to_path(stage.certificate)
        yield stage
