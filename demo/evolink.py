# SPDX-License-Identifier: Apache-2.0
"""Who generates: the emulator; or EvoLink itself, for whoever has a key and says yes to the price."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_evolink.emulator.client import ControlClient
from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY
from demo.environment import clean_environment
from demo.errors import NotStartedError
from demo.processes import Processes

KEY_VARIABLE = "EVOLINK_API_KEY"
YES_VARIABLE = "EVOLINK_DEMO_YES"
_API = "https://api.evolink.ai"
_CLOCK = 7.5  # a generation of a minute takes eight seconds
_LISTENING = re.compile(r"listening on (http://\S+)")
_QUESTION = """\
EVOLINK_API_KEY is set, so this makes one real video of 5 seconds with EvoLink, and costs about 50 credits,
which is about 0.75 USD. (EvoLink's example for 10 seconds is 102.34 credits; 68 credits are about 1 USD.)
Without EVOLINK_API_KEY it runs against the emulator, and costs nothing.
"""


@dataclass(frozen=True)
class EvoLink:
    """An EvoLink to work with.

    :param name: for the person at the terminal.
    :param connection: an Airflow connection to it, as JSON.
    :param count: tells the requests that it took, in words; None where nobody counted.
    """

    name: str
    connection: str = field(repr=False)
    count: Callable[[], str] | None = None

    @property
    def is_emulated(self) -> bool:
        """Whether nothing is charged."""
        return self.count is not None


def wanted_key() -> str | None:
    """Find out whether the real EvoLink is wanted, and ask the person once.

    :return: the API key; None for the emulator.
    :raises NotStartedError: the answer is no, or nobody is there to ask.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        return None
    if os.environ.get(YES_VARIABLE) == "1":
        return key
    print(_QUESTION)
    if not sys.stdin.isatty():
        raise NotStartedError(
            f"Nobody is there to be asked. Say yes beforehand with {YES_VARIABLE}=1, or unset {KEY_VARIABLE}."
        )
    if input("Go ahead? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise NotStartedError("Nothing was started, nothing was charged.")
    return key


def real(key: str) -> EvoLink:
    """Return EvoLink itself.

    :param key: API key; it goes into the environment of Airflow's components, and nowhere else.
    """
    return EvoLink(_API, _connection(_API, key))


def emulated(processes: Processes, media: Path) -> EvoLink:
    """Start an emulator, and return it once it listens.

    :param media: where it keeps a copy of what it renders.
    """
    command = [sys.executable, "-m", "airflow_provider_evolink.emulator", "--clock", str(_CLOCK)]
    processes.start("emulator", [*command, "--media-dir", str(media)], clean_environment())
    listening = processes.wait_until(
        "the emulator", lambda: _LISTENING.search(processes.log("emulator").read_text()), timeout=60
    )
    url = listening[1]
    return EvoLink(f"emulator at {url}", _connection(url, DEFAULT_API_KEY), lambda: _requests(url))


def _connection(host: str, key: str) -> str:
    return json.dumps({"conn_type": "evolink", "host": host, "password": key})


def _requests(url: str) -> str:
    with ControlClient(url) as control:
        counts = dict(control.state()["requests"])
    total = counts.pop("total")
    kinds = [f"{count} {name}" for name, count in sorted(counts.items()) if count]
    return f"{total} to EvoLink: {', '.join(kinds) or 'none'}"
