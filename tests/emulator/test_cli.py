# SPDX-License-Identifier: Apache-2.0
"""The command line: the emulator starts, serves and shuts down at once."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from airflow_provider_evolink.emulator.client import ControlClient
from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY

Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start emulators, and kill those still running after the test."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*options: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "airflow_provider_evolink.emulator", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout
        line = process.stdout.readline()
        match = re.fullmatch(r"EvoLink emulator listening on (http://127\.0\.0\.1:\d+)\n", line)
        assert match, process.stderr and process.stderr.read()
        return process, match[1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_shuts_it_down_at_once(start, number):
    """A signal ends it within a second with code 0 and no further output, even with a request pending."""
    process, url = start("--clock", "100")
    with ControlClient(url) as control:
        control.inject("slow_response", seconds=60)
        pending = threading.Thread(target=_get_credits, args=(url,))
        pending.start()
        while not control.state()["requests"]["total"]:
            time.sleep(0.01)
        begin = time.monotonic()
        process.send_signal(number)
        output, errors = process.communicate(timeout=5)
        duration = time.monotonic() - begin
        pending.join()
    assert (process.returncode, output, errors) == (0, "", "")
    assert duration < 1


def _get_credits(url: str) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/v1/credits", timeout=60, trust_env=False)


def test_options_take_effect(start, tmp_path):
    """API keys, credits, clock, denied models, media directory and seed take effect."""
    options = ("--api-key", "one", "--api-key", "two", "--credits", "7.5", "--clock", "600", "--seed", "1")
    _, url = start(*options, "--deny-model", "z-image-turbo", "--media-dir", str(tmp_path / "media"))
    with httpx.Client(base_url=url, headers={"Authorization": "Bearer two"}, trust_env=False) as client:
        assert client.get("/v1/credits").json()["data"]["user"]["remaining_credits"] == 7.5
        assert client.get("/v1/credits", headers={"Authorization": f"Bearer {DEFAULT_API_KEY}"}).status_code == 401
        body = {"model": "z-image-turbo", "prompt": "a"}
        assert client.post("/v1/images/generations", json=body).status_code == 403
        body = {"model": "gpt-image-2", "prompt": "a"}
        first = client.post("/v1/images/generations", json=body).json()
        while not (links := client.get(f"/v1/tasks/{first['id']}").json().get("results")):
            time.sleep(0.02)
        content = client.get(links[0]).content
    (copy,) = (tmp_path / "media").iterdir()
    assert copy.read_bytes() == content
    assert links[0].endswith(copy.name)
    _, again = start(*options)
    with httpx.Client(base_url=again, headers={"Authorization": "Bearer one"}, trust_env=False) as client:
        repeated = client.post("/v1/images/generations", json=body).json()
    assert repeated["id"].rpartition("-")[2] == first["id"].rpartition("-")[2]


def test_the_query_limit_is_optional(start):
    """With `--query-limit 2`, the third query within a minute gets 429; without the option, none does."""
    for options, third in ((("--query-limit", "2"), 429), ((), 200)):
        _, url = start(*options)
        with httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {DEFAULT_API_KEY}"}, trust_env=False
        ) as client:
            generation = client.post("/v1/images/generations", json={"model": "gpt-image-2", "prompt": "a"}).json()
            queries = [client.get(f"/v1/tasks/{generation['id']}").status_code for _ in range(3)]
        assert queries == [200, 200, third]


INVALID = [
    ("--clock", "0"),
    ("--clock", "fast"),
    ("--clock", "inf"),
    ("--credits", "-5"),
    ("--credits", "nan"),
    ("--nonsense",),
    ("--query-limit", "0"),
    ("--port", "99999"),
]


@pytest.mark.parametrize("options", [*INVALID, ("--host", "192.0.2.1")])
def test_invalid_options_are_rejected(options):
    """An invalid option ends with the usage and exit code 2."""
    command = [sys.executable, "-m", "airflow_provider_evolink.emulator", *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 2
    assert "usage: python -m airflow_provider_evolink.emulator" in result.stderr
    assert options[0] in result.stderr or "192.0.2.1" in options
    assert "_" not in result.stderr.rpartition("error:")[2]  # no internal names


def test_the_control_api_is_for_this_machine_only():
    """Only loopback addresses may use the control API."""
    from starlette.requests import Request

    from airflow_provider_evolink.emulator.routes.control import is_local

    def from_host(host: str) -> Request:
        return Request({"type": "http", "client": (host, 1), "headers": []})

    assert is_local(from_host("127.0.0.1"))
    assert is_local(from_host("::1"))
    assert not is_local(from_host("192.168.1.5"))
    assert not is_local(from_host("testclient"))
