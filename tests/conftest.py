# SPDX-License-Identifier: Apache-2.0
"""Gives every test run its own Airflow, which must be configured before Airflow is first imported."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from airflow_provider_evolink.emulator.server import EmulatorHandle
    from testkit.azure import Azure
    from testkit.gcs import Gcs
    from testkit.s3 import S3
    from testkit.sftp import Sftp
    from tests.hook_uses import HookUses
    from tests.leaping import LeapingTime
    from tests.object_stores import ObjectStore
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
    GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT="false",  # it would ask a server for gRPC that speaks HTTP only
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


@pytest.fixture(autouse=True)
def _ledgers_without_a_store(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Put ledgers into files where Airflow has no store for them, as its users have to."""
    from airflow_provider_evolink.compat import has_state_stores

    if not has_state_stores():
        from tests.task_harness import ledger_in_files

        ledger_in_files(monkeypatch, tmp_path_factory.mktemp("ledgers"), apart=True)


@pytest.fixture(params=["Airflow's store", "files"])
def each_ledger(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Where ledgers are: in Airflow's task state store, or in numbered files."""
    from airflow_provider_evolink.compat import has_state_stores
    from tests.marks import NO_STATE_STORES
    from tests.task_harness import ledger_in_files

    place: str = request.param
    if place != "files" and not has_state_stores():
        pytest.skip(NO_STATE_STORES)
    if place == "files":
        ledger_in_files(monkeypatch, tmp_path_factory.mktemp("ledgers"))
    return place


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


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    """A real server of Azure Blob Storage's API."""
    pytest.importorskip("adlfs", reason="`make test-clouds` tests Azure")
    from testkit.azure import AzuriteMissingError, azure_server

    try:
        with azure_server(tmp_path_factory.mktemp("azure")) as server:
            yield server
    except AzuriteMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gcs]:
    """A server of Google Cloud Storage's API."""
    pytest.importorskip("gcsfs", reason="`make test-clouds` tests Google Cloud Storage")
    from testkit.gcs import gcs_server

    with gcs_server(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sftp]:
    """A real SFTP server."""
    pytest.importorskip("sshfs", reason="`make test-clouds` tests SFTP")
    from testkit.sftp import sftp_server

    with sftp_server(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture(params=["s3", "azure", "gcs"])
def object_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """Each object storage in turn; those whose packages are not installed are skipped."""
    from tests.object_stores import ObjectStore

    return ObjectStore(request.param, request.getfixturevalue(request.param), monkeypatch)


@pytest.fixture(scope="session")
def conditional_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A real S3 server that supports conditional writes."""
    from testkit.seaweedfs import seaweedfs_program, seaweedfs_server

    if seaweedfs_program() is None:
        pytest.skip("there is no wheel of SeaweedFS for this system")
    with seaweedfs_server(tmp_path_factory.mktemp("seaweedfs")) as server:
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
def exceptions_for_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give callbacks the exception as a worker does; ``dag.test()`` does so from Airflow 3.3 on."""
    from airflow.sdk.execution_time import task_runner

    finalize = task_runner.finalize

    def with_exception(ti: Any, state: Any, context: Any, log: Any, error: BaseException | None = None) -> None:
        context["exception"] = error
        finalize(ti, state, context, log, error)

    monkeypatch.setattr(task_runner, "finalize", with_exception)


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
    monkeypatch.setattr("airflow_provider_evolink.triggers.base._SETTLED_SECONDS", 0.0)
    for module in ("polling.policy", "execution.limits"):
        monkeypatch.setattr(f"airflow_provider_evolink.{module}.EXPLICIT_FLOOR", 0.05)
    monkeypatch.setattr("airflow_provider_evolink.polling.poll_loop.random", SimpleNamespace(random=lambda: 0.0))
