# SPDX-License-Identifier: Apache-2.0
"""Gives every test run its own Airflow, which must be configured before Airflow is first imported."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from airflow_provider_evolink.emulator.server import EmulatorHandle
    from testkit.s3 import S3
    from tests.hook_uses import HookUses
    from tests.leaping import LeapingTime
    from tests.task_harness import TaskHarness

for name in [name for name in os.environ if name.startswith(("AIRFLOW", "EVOLINK"))]:
    del os.environ[name]
# A shell without job control starts what runs in the background with Ctrl-C ignored; tests interrupt themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
_HOME = tempfile.TemporaryDirectory(prefix="evolink-tests-", ignore_cleanup_errors=True)
_DAGS = Path(__file__).parent.parent / "dags"
os.environ.update(
    AIRFLOW_HOME=_HOME.name,
    AIRFLOW__CORE__DAGS_FOLDER=str(_DAGS),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__CORE__FERNET_KEY="ZmVybmV0LWtleS1mb3ItdGVzdHMtb25seS0wMDAwMDA=",
    AIRFLOW__LOGGING__LOGGING_LEVEL="INFO",
    AIRFLOW__EVOLINK__POSTERS="False",  # most tests count the files that land
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME.name}/airflow.db",
    AIRFLOW__API_AUTH__JWT_SECRET="tests-only-" * 8,
)

# No deadline per example, since the machine may be busy; always the same examples, so that a failure can be reproduced.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")


@pytest.fixture
def emulator(evolink_emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch) -> EmulatorHandle:
    """The emulator, as the connection ``evolink_default``."""
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", evolink_emulator.airflow_connection)
    return evolink_emulator


@pytest.fixture
def harness() -> TaskHarness:
    """A task instance without an attempt yet."""
    from tests.task_harness import TaskHarness

    return TaskHarness()


@pytest.fixture
def hook_uses(monkeypatch: pytest.MonkeyPatch) -> HookUses:
    """Count the hooks that are made and the connections that they look up."""
    from tests.hook_uses import count_hook_uses

    return count_hook_uses(monkeypatch)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A real S3 server."""
    from testkit.s3 import s3_server

    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def leaping(monkeypatch: pytest.MonkeyPatch) -> LeapingTime:
    """The workers' clock, which jumps ahead instead of sleeping between two reads."""
    from tests.leaping import LeapingTime

    clock = LeapingTime()
    for module in (
        "polling.confirmed_read",
        "execution.generation_wait",
        "execution.collecting_wait",
        "operators.base",
        "sensors.evolink",
    ):
        monkeypatch.setattr(f"airflow_provider_evolink.{module}.time", clock)
    monkeypatch.setattr("airflow_provider_evolink.api.client._pause", lambda _: 0.0)
    return clock


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the client repeat requests without pauses."""
    monkeypatch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: 0.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow polls in faster succession than EvoLink does, without the random start, and believe responses sooner."""
    monkeypatch.setattr("airflow_provider_evolink.polling.timing_wheel.SLOT_SECONDS", 0.05)
    monkeypatch.setattr("airflow_provider_evolink.polling.policy.REFUSED_SECONDS", 0.3)
    monkeypatch.setattr("airflow_provider_evolink.polling.rate_limiter.DOCUMENTED_RATE", None)
    monkeypatch.setattr("airflow_provider_evolink.polling.shared_client._NOT_FOUND_SECONDS", 0.1)
    for module in ("polling.policy", "execution.limits"):
        monkeypatch.setattr(f"airflow_provider_evolink.{module}.EXPLICIT_FLOOR", 0.05)
    monkeypatch.setattr("airflow_provider_evolink.polling.poll_loop.random", SimpleNamespace(random=lambda: 0.0))
