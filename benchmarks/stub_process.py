# SPDX-License-Identifier: Apache-2.0
"""Runs a stub on a core of its own; what is measured gets the other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LATENCY = 0.1
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
# The client is what is measured; on a single core both have to share it.
CLIENT_CORE, STUB_CORE = (_CORES[0], _CORES[1]) if len(_CORES) > 1 else (None, None)


def on_core(core: int | None) -> list[str]:
    """Return the argument that pins one of our modules to a core."""
    return [] if core is None else [f"--core={core}"]


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Pin this process, and every process that it starts, to a core as long as the context lasts."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running_stub(module: str, certificate: Path, *arguments: str) -> Iterator[int]:
    """Run a stub as long as the context lasts; yield its port.

    :param module: its name.
    :param certificate: PEM file with its certificate and private key.
    """
    command = [sys.executable, "-m", module, "--certificate", str(certificate), f"--latency={LATENCY}"]
    command += [*on_core(STUB_CORE), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stub:
        try:
            yield int(stub.stdout.readline() if stub.stdout else 0)
        finally:
            stub.kill()
