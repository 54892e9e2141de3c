# SPDX-License-Identifier: Apache-2.0
"""Landed files through Airflow's own api-server: a large one, and its answers while fifty readers stall.

``make bench-gallery`` prints the figures, from this machine's disk and from S3, after those of :mod:`plugin`.
"""

from __future__ import annotations

import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from airflow_provider_evolink.links import addresses
from benchmarks.tables import markdown, number
from testkit.airflow_stack import AirflowStack
from testkit.s3 import BUCKET, S3, s3_server

MIB = 2**20
SIZE = 300 * MIB
READERS = 50
_ROUNDS = 20
_DAG = """
from airflow.sdk import DAG, task

with DAG("large", schedule=None):
    for name, uri in {uris!r}.items():

        @task(task_id=name)
        def land(uri):
            entry = dict(bytes={size}, sha256="0" * 64, content_type="video/mp4", generation_id="task-unified-1")
            return [dict(entry, uri=uri)]

        land(uri)
"""


@dataclass
class Memory:
    """The memory of a process and its children, sampled while a context lasts.

    :ivar peak: the most, in bytes.
    """

    pid: int
    peak: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def now(self) -> int:
        """Return what it holds now, in bytes."""
        process = psutil.Process(self.pid)
        return sum(part.memory_info().rss for part in (process, *process.children(recursive=True)))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample it."""
        self.peak = self.now()
        self._ended.clear()
        thread = threading.Thread(target=self._sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(0.05):
            self.peak = max(self.peak, self.now())


@dataclass(frozen=True)
class Server:
    """An api-server with a run whose tasks have landed a large file each.

    :param client: logged in.
    :param run_id: of the DAG ``large``.
    """

    client: httpx.Client
    run_id: str
    memory: Memory

    def file(self, task_id: str) -> str:
        """Return the address of a task's file."""
        return f"/{addresses.file('large', self.run_id, task_id)}"

    def entries(self) -> str:
        """Return the address of the list of the run."""
        return f"/{addresses.entries('large', self.run_id)}"


def main() -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory(prefix="evolink-gallery-") as name, _server(Path(name)) as server:
        rows = [_whole_file(server, task_id) for task_id in ("disk", "s3")]
        print(markdown(["300 MiB from", "seconds", "MB/s", "memory before, MB", "at most, MB"], rows))
        print()
        rows = [_answers(server, "nobody")]
        for task_id in ("disk", "s3"):
            with _stalled(server, task_id):
                rows.append(_answers(server, f"{READERS} of {task_id}"))
        heads = ["readers that stall", "health, ms", "list, ms", "1 MiB of disk, ms", "1 MiB of s3, ms", "memory, MB"]
        print(markdown(heads, rows))


@contextmanager
def _server(home: Path) -> Iterator[Server]:
    with s3_server(home / "s3") as s3:
        uris = _make_files(home, s3)
        dags = home / "dags"
        dags.mkdir()
        (dags / "large.py").write_text(_DAG.format(uris=uris, size=SIZE))
        env = {
            "AIRFLOW_CONN_GALLERY": s3.connection_with(config_kwargs={"response_checksum_validation": "when_required"}),
            "AIRFLOW__EVOLINK__GALLERY_ROOTS": f"s3://gallery@{BUCKET}, file://{home}/landed",
        }
        with AirflowStack(home / "airflow", dags, env) as stack:
            stack.wait_for_dag("large")
            stack.api.unpause("large")
            run_id = stack.api.trigger("large")
            stack.wait_for_run("large", run_id)
            for component in ("scheduler", "dag-processor", "triggerer"):
                stack.stop(component)
            with httpx.Client(base_url=stack.url, timeout=120, trust_env=False) as client:
                token = client.get("/auth/token").raise_for_status().json()["access_token"]
                client.headers["Authorization"] = f"Bearer {token}"
                yield Server(client, run_id, Memory(stack.processes.pid("api-server")))


def _make_files(home: Path, s3: S3) -> dict[str, str]:
    path = home / "landed/large.mp4"
    path.parent.mkdir()
    with path.open("wb") as stream:
        stream.truncate(SIZE)
    s3.file_system().put_file(str(path), f"{BUCKET}/large.mp4")
    return {"disk": path.as_uri(), "s3": f"s3://{BUCKET}/large.mp4"}


def _whole_file(server: Server, task_id: str) -> list[str]:
    server.client.head(server.file(task_id)).raise_for_status()
    before, begun = server.memory.now(), time.perf_counter()
    with server.memory.watched(), server.client.stream("GET", server.file(task_id)) as response:
        received = sum(len(part) for part in response.iter_raw(MIB))
    seconds = time.perf_counter() - begun
    if received != SIZE:
        raise SystemExit(f"{received:,} bytes of {SIZE:,} have arrived.")
    memory = (before / 1e6, server.memory.peak / 1e6)
    return [task_id, number(seconds, 1), number(SIZE / 1e6 / seconds, 0), *(number(value, 0) for value in memory)]


def _answers(server: Server, who: str) -> list[str]:
    part = {"Range": f"bytes=0-{MIB - 1}"}
    requests: list[Callable[[], httpx.Response]] = [
        lambda: server.client.get("/api/v2/monitor/health"),
        lambda: server.client.get(server.entries()),
        lambda: server.client.get(server.file("disk"), headers=part),
        lambda: server.client.get(server.file("s3"), headers=part),
    ]
    figures = [_latency(request) for request in requests]
    return [who, *figures, number(server.memory.now() / 1e6, 0)]


def _latency(request: Callable[[], httpx.Response]) -> str:
    """Return the median and the most milliseconds of a request."""
    taken = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        request().raise_for_status()
        taken.append((time.perf_counter() - begun) * 1000)
    return f"{statistics.median(taken):.0f} (at most {max(taken):.0f})"


@contextmanager
def _stalled(server: Server, task_id: str) -> Iterator[None]:
    """Readers that have asked for a file and read nothing but its first line."""
    url, login = urlsplit(str(server.client.base_url)), server.client.headers["Authorization"]
    request = f"GET {server.file(task_id)} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: {login}\r\n\r\n"
    with ExitStack() as stack:
        readers = [stack.enter_context(socket.create_connection((url.hostname, url.port), 120)) for _ in range(READERS)]
        for reader in readers:
            reader.sendall(request.encode())
        if any(reader.recv(12) != b"HTTP/1.1 200" for reader in readers):
            raise SystemExit("A reader was refused.")
        time.sleep(5)
        yield


if __name__ == "__main__":
    main()
