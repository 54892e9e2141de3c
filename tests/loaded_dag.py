# SPDX-License-Identifier: Apache-2.0
"""Load and store a DAG as Airflow's dag-processor does, for ``dag.test()``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import DAG

if TYPE_CHECKING or find_spec("airflow.dag_processing.dagbag"):
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
else:  # before 3.2
    from airflow.models.dagbag import DagBag, sync_bag_to_db


def load_dag(folder: Path, dag_id: str) -> DAG:
    """Return a DAG of a folder, stored in Airflow's database."""
    bag = DagBag(str(folder))
    assert bag.import_errors == {}
    store_dags(bag)
    return bag.dags[dag_id]


def store_dags(bag: DagBag) -> None:
    """Store DAGs in Airflow's database, which is created if need be."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils.db import initdb

    initdb()
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(bag, "dags-folder", None)
