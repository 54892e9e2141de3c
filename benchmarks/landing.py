# SPDX-License-Identifier: Apache-2.0
"""
How fast a large result lands, and in how much memory, against what people would write by hand.

A server in a process of its own, on the last core, sends 200 MB over the loopback; every contender has a process of
its own and does the same in turn, round after round. Run it with ``python -m benchmarks.landing``.
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
from demo.environment import clean_environment
from tests.s3 import S3, s3_server

SIZE = 200_000_000
ROUNDS, S3_ROUNDS = 5, 3
REPORT = Path("docs/benchmarks-landing.md")
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


def make_film(path: Path) -> str:
    """Write a file that begins as a real MP4 and goes on as nothing that could be compressed; return its SHA-256."""
    real = render(Artifact("video", "mp4", width=320, height=180, seconds=1.0, source_image=None, seed=1))
    path.write_bytes(real + os.urandom(SIZE - len(real)))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_certificate(folder: Path) -> Path:
    """Make a certificate for the loopback address that is thrown away; the file holds its key, too."""
    path, key = folder / "certificate.pem", folder / "key.pem"
    usual = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=benchmark"
    options = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(path)]
    subprocess.run([*usual.split(), *options], check=True, capture_output=True)
    path.write_bytes(key.read_bytes() + path.read_bytes())
    return path


@contextmanager
def child(module: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module of ours in another process, which ends when its input does."""
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


def told(process: subprocess.Popen[str], beginning: str) -> str:
    """Return the next line of a child that begins like this."""
    for line in cast(IO[str], process.stdout):
        if line.startswith(beginning):
            return line
    raise RuntimeError(f"{process.args!r} ended; run it by hand to see why")


def race(names: Sequence[str], link: str, rounds: int, folder: Path, digest: str, **environment: str) -> Rounds:
    """Let all fetch in turn, once to warm up and then as often as told; check every hash."""
    taken: Rounds = {name: [] for name in names}
    with ExitStack() as stack:
        runners = {}
        for number, name in enumerate(names):
            own = folder / f"{number}"
            own.mkdir(exist_ok=True)
            arguments = (name, link, str(own), str(folder / "certificate.pem"))
            runners[name] = stack.enter_context(child("landing_clients", *arguments, **environment))
        for runner in runners.values():
            told(runner, "ready")
        for _ in range(rounds + 1):
            for name, runner in runners.items():
                result = one(runner)
                check(result["sha256"] in {None, digest}, f"{name} fetched something else")
                taken[name].append(result)
    return taken


def check(is_right: bool, problem: str) -> None:
    """End a measurement of something that does not work."""
    if not is_right:
        raise RuntimeError(problem)


def one(runner: subprocess.Popen[str]) -> dict[str, Any]:
    """Let a contender fetch once."""
    orders = cast(IO[str], runner.stdin)
    orders.write("fetch\n")
    orders.flush()
    result: dict[str, Any] = json.loads(told(runner, "{"))
    return result


@contextmanager
def host(film: Path, *certificate: Path) -> Iterator[str]:
    """Serve the film, through TLS if there is a certificate, and give out its link."""
    with child("landing_host", str(film), *map(str, certificate)) as server:
        port = told(server, "").strip()
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}/film.mp4"


def check_bucket(s3: S3, digest: str) -> None:
    """See that whole objects, and nothing else, are in the bucket."""
    check(set(s3.digests("").values()) == {digest}, "an object is not the film")
    check(not s3.pending(), "an upload was left half done")


def main() -> None:
    """Measure, print the tables, and write them down."""
    print("About 3 minutes on 2 idle cores; needs 2 GB of disk, curl and openssl.", flush=True)
    began, load = time.monotonic(), os.getloadavg()[0]
    place = Path(".demo")  # a disk, where the temporary folder may be memory
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="landing-", dir=place.absolute()) as name:
        folder = Path(name)
        film = folder / "film.mp4"
        digest, certificate = make_film(film), make_certificate(folder)
        home = {"AIRFLOW_HOME": str(folder / "airflow")}
        races = {}
        with host(film) as link:
            races["http"] = race(TO_DISK, link, ROUNDS, folder, digest, **home)
        with host(film, certificate) as link:
            races["https"] = race(TO_DISK, link, ROUNDS, folder, digest, **home)
        with s3_server(folder / "s3") as s3, host(film, certificate) as link:
            home["AIRFLOW_CONN_STORE"] = s3.connection
            races["s3"] = race(UPLOADS, str(film), S3_ROUNDS, folder, digest, **home)
            races["s3"] |= race(TO_BUCKET, link, S3_ROUNDS, folder, digest, **home)
            check_bucket(s3, digest)
    machine = {"cores": os.cpu_count(), "size": SIZE, "seconds": time.monotonic() - began}
    machine |= {"load": load, "load_after": os.getloadavg()[0]}
    text = report(races, machine, datetime.now(UTC))
    REPORT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
