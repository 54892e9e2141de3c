# SPDX-License-Identifier: Apache-2.0
"""Read and remove the entries of tasks' ledgers in Airflow's metadata database, where both state stores are.

A task reaches its stores through Airflow's API, and only its own. A command has no task, but it may use the database.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.compat import has_state_stores, map_index_of
from airflow_provider_evolink.execution.task_state import LEDGER_ASSET, copy_owner
from airflow_provider_evolink.submission.record import STORE_KEY

# Where an entry is, in the order in which a task looks for it.
FILES, STORE, COPY = PLACES = ("files", "store", "copy")


@dataclass(frozen=True, slots=True, order=True)
class Instance:
    """A task instance."""

    run_id: str
    map_index: int


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry of a ledger.

    :param key: without what the copy puts before it.
    :param place: ``files``, ``store`` or ``copy``.
    :param value: as JSON; ``None`` if it is none.
    :param remove: removes it, given a session on Airflow's database.
    """

    instance: Instance
    key: str
    place: str
    value: Any
    remove: Callable[[Any], None] = field(repr=False, compare=False)


def find_entries(
    session: Any, dag_id: str, task_id: str, run_id: str | None, map_index: int | None
) -> list[StoredEntry]:
    """Return what Airflow has of a task's ledgers, also of runs that were deleted, as far as their copies are there.

    :param session: on Airflow's database.
    :param run_id: ``None`` = of all runs.
    :param map_index: ``None`` = of all instances.
    :raises ConfigurationError: Airflow keeps its state stores elsewhere.
    """
    if not has_state_stores():
        return []
    from airflow.state import get_state_backend
    from airflow.state.metastore import MetastoreBackend

    if not isinstance(backend := get_state_backend(), MetastoreBackend):
        raise ConfigurationError(
            f"Airflow's state stores are kept by {type(backend).__name__} ([state_store] backend), and this command "
            "reads Airflow's own database only. Nothing was removed."
        )
    stored = list(_in_store(session, dag_id, task_id))
    instances = {entry.instance for entry in stored} | set(_instances(session, dag_id, task_id))
    if run_id is not None:
        instances.add(Instance(run_id, -1 if map_index is None else map_index))
    wanted = {each for each in instances if run_id in (None, each.run_id) and map_index in (None, each.map_index)}
    copied = _in_copy(session, dag_id, task_id, wanted)
    entries = [*(entry for entry in stored if entry.instance in wanted), *copied]
    return sorted(entries, key=lambda entry: (entry.instance, entry.place, entry.key))


def running(session: Any, dag_id: str, task_id: str, instances: Iterable[Instance]) -> list[Instance]:
    """Return the instances that are being executed, are deferred or are about to start."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.state import TaskInstanceState

    busy = (
        TaskInstanceState.RUNNING, TaskInstanceState.DEFERRED, TaskInstanceState.QUEUED, TaskInstanceState.RESTARTING,
    )  # fmt: skip
    rows = session.query(TaskInstance.run_id, map_index_of(TaskInstance)).filter(
        TaskInstance.dag_id == dag_id, TaskInstance.task_id == task_id, TaskInstance.state.in_(busy)
    )
    found = {Instance(run_id, map_index) for run_id, map_index in rows}
    return sorted(found & set(instances))


def remove(session: Any, entries: Iterable[StoredEntry]) -> None:
    """Remove entries; a value that ``[workers] state_store_backend`` keeps elsewhere stays there, and is never read."""
    for entry in entries:
        entry.remove(session)


def _remover(row: Any) -> Callable[[Any], None]:
    return lambda session: session.delete(row)


def is_ledgers(key: str) -> bool:
    """Return whether a store key is that of a record or a chunk, and not that of a landing's checkpoint."""
    # After it: the number of a try, an operator that was executed by hand, or the key of a call of the hook.
    return key == STORE_KEY or key.startswith(tuple(f"{STORE_KEY}{mark}" for mark in ".-:"))


def _in_store(session: Any, dag_id: str, task_id: str) -> Iterator[StoredEntry]:
    from airflow.models.task_state_store import TaskStateStoreModel as Model

    for row in session.query(Model).filter(Model.dag_id == dag_id, Model.task_id == task_id):
        if is_ledgers(row.key):
            yield StoredEntry(
                Instance(row.run_id, map_index_of(row)), row.key, STORE, _parsed(row.value), _remover(row)
            )


def _in_copy(session: Any, dag_id: str, task_id: str, instances: Iterable[Instance]) -> Iterator[StoredEntry]:
    from airflow.models.asset import AssetModel
    from airflow.models.asset_state_store import AssetStateStoreModel as Model

    copies = session.query(Model).join(AssetModel, AssetModel.id == Model.asset_id)
    for instance in instances:
        start = f"{copy_owner(dag_id, instance.run_id, task_id, instance.map_index)}."
        for row in copies.filter(AssetModel.name == LEDGER_ASSET.name, Model.key.startswith(start)):
            key = row.key.removeprefix(start)
            if is_ledgers(key):
                yield StoredEntry(instance, key, COPY, _parsed(row.value), _remover(row))


def _instances(session: Any, dag_id: str, task_id: str) -> Iterator[Instance]:
    """Yield the instances that Airflow has, and those that have written copies."""
    from airflow.models.asset_state_store import AssetStateStoreModel as Copy
    from airflow.models.taskinstance import TaskInstance

    of_tasks = session.query(TaskInstance.run_id, map_index_of(TaskInstance)).filter(
        TaskInstance.dag_id == dag_id, TaskInstance.task_id == task_id
    )
    of_copies = session.query(Copy.last_updated_by_run_id, Copy.last_updated_by_map_index).filter(
        Copy.last_updated_by_dag_id == dag_id, Copy.last_updated_by_task_id == task_id
    )
    for query in (of_tasks, of_copies.distinct()):
        for run_id, map_index in query:
            if run_id is not None:
                yield Instance(run_id, -1 if map_index is None else map_index)


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return None
