# SPDX-License-Identifier: Apache-2.0
"""The EvoLink of a demo: the emulator, or the real API for a user who has an API key and accepts the price."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from airflow_provider_evolink.emulator.client import ControlClient
from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY
from demo.errors import NotStartedError
from testkit.environment import clean_environment, free_port
from testkit.processes import Processes

KEY_VARIABLE = "EVOLINK_API_KEY"
YES_VARIABLE = "EVOLINK_DEMO_YES"
_API = "https://api.evolink.ai"
_CLOCK = 7.5  # a generation of a minute takes eight seconds
# The documented limit is 60 queries per minute and API key; the trigger's polls count too.
_QUERY_SECONDS = 10.0
_CONSENT = """\
EVOLINK_API_KEY is set: this generates one real video of 5 seconds with EvoLink and costs about 50 credits, which is
about 0.75 USD. (EvoLink's own example, 10 seconds, costs 102.34 credits; 68 credits are about 1 USD.)
Without EVOLINK_API_KEY the demo runs against the emulator and costs nothing.
"""


@dataclass(frozen=True)
class Progress:
    """How far EvoLink is with a generation.

    :param status: as EvoLink reports it: pending, processing, completed, ...
    :param percent: from 0 to 100.
    """

    status: str
    percent: float


@dataclass(frozen=True)
class EvoLink:
    """An EvoLink to generate with.

    :param name: for the person at the terminal.
    :param connection: an Airflow connection to it, as JSON.
    :param progress: returns the progress of a generation by its id; None if it is not known now.
    :param count: returns the requests that it has received, in words; None for the real API, which does not count.
    :param statuses: returns how many generations it has, by status; none for the real API.
    """

    name: str
    connection: str = field(repr=False)
    progress: Callable[[str], Progress | None] = field(repr=False)
    count: Callable[[], str] | None = None
    statuses: Callable[[], Counter[str]] = field(default=Counter, repr=False)

    @property
    def is_emulated(self) -> bool:
        """Whether nothing is charged."""
        return self.count is not None


def requested_key() -> str | None:
    """Return the API key if the real EvoLink is wanted, after one confirmation.

    :return: the API key; None for the emulator.
    :raises NotStartedError: the user declined, or there is no terminal.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        return None
    if os.environ.get(YES_VARIABLE) == "1":
        return key
    print(_CONSENT)
    if not sys.stdin.isatty():
        raise NotStartedError(
            f"There is no terminal to ask for confirmation. Set {YES_VARIABLE}=1 to confirm, or unset {KEY_VARIABLE}."
        )
    if input("Continue? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise NotStartedError("Nothing was started, nothing was charged.")
    return key


@contextmanager
def real(key: str, api: str = _API) -> Iterator[EvoLink]:
    """Connect to the real EvoLink.

    :param key: API key; it goes into the environment of Airflow's components and into requests for progress.
    :param api: its address.
    """
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=api, headers=headers, timeout=5) as client:
        yield EvoLink(api, _connection(api, key), _Queries(client))


@contextmanager
def emulated(processes: Processes, media: Path) -> Iterator[EvoLink]:
    """Start an emulator and wait until it listens.

    :param processes: gets the emulator, under the name ``emulator``.
    :param media: folder for a copy of every rendered file.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "airflow_provider_evolink.emulator", "--port", str(port), "--clock", str(_CLOCK)]
    processes.start("emulator", [*command, "--media-dir", str(media)], clean_environment())
    with ControlClient(url) as control:
        processes.wait_until("the emulator", lambda: _state(control), timeout=60)
        yield EvoLink(
            name=f"emulator at {url}",
            connection=_connection(url, DEFAULT_API_KEY),
            progress=lambda generation_id: _emulated_progress(control, generation_id),
            count=lambda: _count(control),
            statuses=lambda: Counter(generation["status"] for generation in _generations(control)),
        )


class _Queries:
    """Query generations at EvoLink, rarely enough to stay far below its rate limit.

    :param client: of the API.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._next_at = 0.0
        self._latest: Progress | None = None

    def __call__(self, generation_id: str) -> Progress | None:
        """Return the progress of a generation, up to ten seconds old."""
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + _QUERY_SECONDS
            with suppress(httpx.HTTPError, ValueError, KeyError, TypeError):
                body = self._client.get(f"/v1/tasks/{generation_id}").raise_for_status().json()
                self._latest = Progress(str(body["status"]), float(body["progress"]))
        return self._latest


def _connection(host: str, key: str) -> str:
    return json.dumps({"conn_type": "evolink", "host": host, "password": key})


def _state(control: ControlClient) -> dict[str, Any] | None:
    with suppress(httpx.HTTPError):
        return control.state()
    return None


def _emulated_progress(control: ControlClient, generation_id: str) -> Progress | None:
    found = [generation for generation in _generations(control) if generation["id"] == generation_id]
    return Progress(found[0]["status"], float(found[0]["progress"])) if found else None


def _generations(control: ControlClient) -> list[dict[str, Any]]:
    state = _state(control) or {"generations": []}
    generations: list[dict[str, Any]] = state["generations"]
    return generations


def _count(control: ControlClient) -> str:
    counts = dict(control.state()["requests"])
    total = counts.pop("total")
    by_endpoint = [f"{count} {name}" for name, count in sorted(counts.items()) if count]
    return f"{total} to EvoLink: {', '.join(by_endpoint) or 'none'}"
