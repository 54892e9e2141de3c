# SPDX-License-Identifier: Apache-2.0
"""A process that lands links one after the other, and prints by how much its memory peaked above its start for each."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

from airflow_provider_evolink.landing.checkpoint import Checkpoint
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN, Result
from airflow_provider_evolink.landing.lander import Lander
from airflow_provider_evolink.landing.safe_http import Network
from airflow_provider_evolink.landing.storage_target import storage_target


def main(destination: str, generation_id: str, *links: str) -> None:
    """Land every link as a result of a generation."""
    lander = Lander(
        destination=storage_target(destination),
        pattern=DEFAULT_PATTERN,
        network=Network(allow_loopback=True),
        checkpoint=Checkpoint(None, timedelta(days=1)),
        renew=lambda _: None,
    )
    for index, link in enumerate(links):
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        before = _status("VmRSS")
        lander.land(Result(generation_id, index, link))
        print(_status("VmHWM") - before, flush=True)  # noqa: T201


def _status(name: str) -> int:
    """Return a figure of this process in bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
