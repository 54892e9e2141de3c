# SPDX-License-Identifier: Apache-2.0
"""Every whole DAG in the documentation runs to its end, with the emulator as EvoLink and a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk import DAG

from airflow_provider_evolink.emulator.server import EmulatorHandle
from testkit.s3 import S3
from tests.documented_dags import dag_blocks, dag_ids, stored_dags
from tests.documents import ROOT, run_code
from tests.marks import needs_async_tasks
from tests.media import files

pytestmark = pytest.mark.filterwarnings("default")

# Whole DAGs that are loaded, but not run, and why.
NOT_RUN = {
    "publish": "starts with asset events; tests/services runs the example DAG that does the same",
    "reviewed_video": "waits for a person; tests/services runs the example DAG that does the same",
}
# Whole DAGs that generate nothing by themselves.
WITHOUT_GENERATIONS = {"recover"}
# Whole DAGs whose tasks are coroutine functions.
AWAITED = {"scenes"}
IDS = [dag_id for block in dag_blocks() for dag_id in dag_ids(block)]
PRODUCTS = """sku,image,prompt,collection
mug,s3://my_conn@pictures/bud.png,Steam rises from the mug,kitchen
lamp,s3://my_conn@pictures/flower.png,The lamp is switched on,living room
"""


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DAG]:
    """All DAGs of the pages, on Airflow's database."""
    pages = sorted({block.page for block in dag_blocks()})
    return stored_dags(pages, tmp_path_factory.mktemp("pages"))


@pytest.fixture
def storage(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The buckets of the connection ``my_conn``, with what the DAGs read."""
    monkeypatch.setenv("AIRFLOW_CONN_MY_CONN", s3.connection)
    monkeypatch.setenv("AIRFLOW__EVOLINK__POLL_INTERVAL", "1")
    # By its API: the server remembers for minutes what its folder holds.
    server = s3.file_system()
    for bucket in ("videos", "pictures", "shop"):
        server.makedirs(bucket, exist_ok=True)
    for name in ("lighthouse", "bud", "flower"):
        server.pipe_file(f"pictures/{name}.png", files.whole_png(1024, 768))
    server.pipe_file("shop/products.csv", PRODUCTS.encode())
    return s3.folder


def test_the_ids_are_unique() -> None:
    """No two DAGs of the pages get in each other's way, and what is not run exists."""
    assert len(IDS) == len(set(IDS)) >= 12
    assert NOT_RUN.keys() | WITHOUT_GENERATIONS | AWAITED <= set(IDS)


def test_all_are_loaded(dags: dict[str, DAG]) -> None:
    """Each block is a whole DAG file: Airflow finds the DAG in it."""
    assert set(dags) == set(IDS)


@pytest.mark.parametrize(
    "dag_id",
    [pytest.param(each, marks=needs_async_tasks) if each in AWAITED else each for each in IDS if each not in NOT_RUN],
)
def test_it_runs(dag_id: str, dags: dict[str, DAG], emulator: EmulatorHandle, storage: Path) -> None:
    """The DAG succeeds, and each generation that it pays for is completed."""
    assert dags[dag_id].test().state == "success"

    statuses = [each["status"] for each in emulator.control.state()["generations"]]
    assert set(statuses) == (set() if dag_id in WITHOUT_GENERATIONS else {"completed"})


def test_the_documented_tests_pass(dags: dict[str, DAG], emulator: EmulatorHandle, storage: Path) -> None:
    """The tests on the page about testing pass, with the page's own DAG."""
    namespace = run_code(ROOT / "docs" / "how-to" / "testing.md")
    namespace["dag"] = dags["tested_video"]
    tests = [test for name, test in namespace.items() if name.startswith("test_")]

    assert len(tests) == 3
    for test in tests:
        emulator.control.reset()
        test(emulator.control)
