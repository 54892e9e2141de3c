# SPDX-License-Identifier: Apache-2.0
"""How fast a large result lands, and in how much memory, compared with hand-written clients.

A server in its own process, on the last core, sends 200 MB over the loopback; every contender has its own process, and
all take turns, round after round. Run it with ``python -m benchmarks.landing``.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from airflow_provider_evolink.emulator.media.artifacts import Artifact
from airflow_provider_evolink.emulator.media.rendering import render
from benchmarks.landing_report import Rounds, report
from testkit.certificates import issue_certificate
from testkit.environment import clean_environment
from testkit.s3 import S3, s3_server

SIZE = 200_000_000
ROUNDS, S3_ROUNDS = 5, 3
REPORT = Path("docs/explanation/benchmarks-landing.md")
TO_DISK = (
    "ours",
    "ours unsynced",
    "requests sha256",
    "aiohttp sha256",
    "httpx sha256",
    "curl sha256",
    "requests sha256 fsync",
    "aiohttp sha256 fsync",
    "requests",
    "aiohttp",
    "httpx",
    "curl",
)
TO_BUCKET = ("ours s3://store@videos/landed",)
UPLOADS = ("upload publish", "upload upload_fileobj", "upload put_file")


def make_video(path: Path) -> str:
    """Write a file that starts as a real MP4 and continues with incompressible bytes; return its SHA-256."""
    real = render(Artifact("video", "mp4", width=320, height=180, seconds=1.0, source_image=None, seed=1))
    path.write_bytes(real + os.urandom(SIZE - len(real)))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def child(module: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run one of our modules in another process, which exits when its standard input closes."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=clean_environment() | environment,
    )
    try:
        yield process
    finally:
        process.communicate()


def read_line(process: subprocess.Popen[str], beginning: str) -> str:
    """Return the next line of a child's output with the given prefix."""
    for line in cast(IO[str], process.stdout):
        if line.startswith(beginning):
            return line
    raise RuntimeError(f"{process.args!r} exited; run it by hand to see why")


def race(names: Sequence[str], link: str, rounds: int, folder: Path, digest: str, **environment: str) -> Rounds:
    """Let all contenders fetch in turn, once to warm up and then once per round; check every hash."""
    taken: Rounds = {name: [] for name in names}
    with ExitStack() as stack:
        runners = {}
        for number, name in enumerate(names):
            own = folder / f"{number}"
            own.mkdir(exist_ok=True)
            arguments = (name, link, str(own), str(folder / "127.0.0.1.pem"))
            runners[name] = stack.enter_context(child("landing_clients", *arguments, **environment))
        for runner in runners.values():
            read_line(runner, "ready")
        for _ in range(rounds + 1):
            for name, runner in runners.items():
                result = fetch_once(runner)
                check(result["sha256"] in {None, digest}, f"{name} fetched other content")
                taken[name].append(result)
    return taken


def check(is_right: bool, problem: str) -> None:
    """Abort a measurement of something that does not work."""
    if not is_right:
        raise RuntimeError(problem)


def fetch_once(runner: subprocess.Popen[str]) -> dict[str, Any]:
    """Let a contender fetch once."""
    stdin = cast(IO[str], runner.stdin)
    stdin.write("fetch\n")
    stdin.flush()
    result: dict[str, Any] = json.loads(read_line(runner, "{"))
    return result


@contextmanager
def host(video: Path, *certificate: Path) -> Iterator[str]:
    """Serve the video, over TLS if there is a certificate, and yield its link."""
    with child("landing_host", str(video), *map(str, certificate)) as server:
        port = read_line(server, "").strip()
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}/video.mp4"


def check_bucket(s3: S3, digest: str) -> None:
    """Check that the bucket holds complete objects and nothing else."""
    check(set(s3.digests("").values()) == {digest}, "an object differs from the video")
    check(not s3.pending(), "an upload was left incomplete")


def main() -> None:
    """Measure, print the tables, and write the report."""
    print("About 3 minutes on 2 idle cores. Needs 2 GB of disk and curl.", flush=True)
    began, load = time.monotonic(), os.getloadavg()[0]
    parent = Path(".demo")  # a disk, where the temporary folder may be memory
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="landing-", dir=parent.absolute()) as name:
        folder = Path(name)
        video = folder / "video.mp4"
        digest, certificate = make_video(video), issue_certificate("127.0.0.1", folder)
        home = {"AIRFLOW_HOME": str(folder / "airflow")}
        races = {}
        with host(video) as link:
            races["http"] = race(TO_DISK, link, ROUNDS, folder, digest, **home)
        with host(video, certificate) as link:
            races["https"] = race(TO_DISK, link, ROUNDS, folder, digest, **home)
        with s3_server(folder / "s3") as s3, host(video, certificate) as link:
            home["AIRFLOW_CONN_STORE"] = s3.connection
            races["s3"] = race(UPLOADS, str(video), S3_ROUNDS, folder, digest, **home)
            races["s3"] |= race(TO_BUCKET, link, S3_ROUNDS, folder, digest, **home)
            check_bucket(s3, digest)
    machine = {"cores": os.cpu_count(), "size": SIZE, "seconds": time.monotonic() - began}
    machine |= {"load": load, "load_after": os.getloadavg()[0]}
    text = report(races, machine, datetime.now(UTC))
    REPORT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
