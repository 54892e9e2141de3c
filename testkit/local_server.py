# SPDX-License-Identifier: Apache-2.0
"""A server program on this machine that runs as long as its context."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import httpx

from testkit.errors import ServiceError

_START_SECONDS = 90.0  # Node.js takes that long on a busy machine


@contextmanager
def running(name: str, command: Sequence[str], url: str, env: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server as long as the context lasts.

    :param name: for errors.
    :param command: program and arguments.
    :param url: where it responds once it is ready.
    :param env: its whole environment; None for this process's.
    :raises ServiceError: it did not start.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    try:
        _wait_for(name, url)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(name: str, url: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise ServiceError(f"The {name} server did not respond within {_START_SECONDS:.0f} s.")
