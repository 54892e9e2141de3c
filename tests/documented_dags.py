# SPDX-License-Identifier: Apache-2.0
"""The whole DAGs on the pages of the documentation, as a reader copies them into files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from tests.documents import Block, blocks
from tests.loaded_dag import store_dags

_DAG = re.compile(r"^with DAG\(\s*\"(\w+)\"", re.MULTILINE)
# Where the pages' DAGs land on the local disk, in place of which tests have a folder of their own.
_FOLDER = "/tmp/evolink-videos"


def dag_blocks() -> list[Block]:
    """Return the blocks that define whole DAGs."""
    return [block for block in blocks("python") if _DAG.search(block.text)]


def dag_ids(block: Block) -> list[str]:
    """Return the ids of the DAGs in a block."""
    return _DAG.findall(block.text)


def stored_dags(pages: Iterable[Path], folder: Path) -> dict[str, DAG]:
    """Copy the DAGs of pages into files, a file for each page, and store them in Airflow's database.

    :param folder: for the files, and for what lands on the local disk.
    """
    from tests.loaded_dag import DagBag

    dags = folder / "dags"
    dags.mkdir()
    for page in pages:
        code = "\n\n".join(block.text for block in dag_blocks() if block.page == page)
        (dags / f"{page.stem.replace('-', '_')}.py").write_text(code.replace(_FOLDER, str(folder / "videos")))
    bag = DagBag(str(dags))
    assert bag.import_errors == {}
    for task in (task for dag in bag.dags.values() for task in dag.tasks if not task.is_mapped):
        task.retry_delay = timedelta(seconds=1)
    store_dags(bag)
    return dict(bag.dags)
