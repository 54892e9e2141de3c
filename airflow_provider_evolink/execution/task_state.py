# SPDX-License-Identifier: Apache-2.0
"""What a task instance remembers across tries and clears: its ledger, and the checkpoint of its landing.

Both are in Airflow's task state store, which a clear may empty, or in files (see :mod:`..execution.object_ledger`), and
in a copy, which it leaves alone. Airflow before 3.3 has neither that store nor the copy. Files have one where Airflow
can keep it, so that nothing is paid for again if ``[evolink] ledger_path`` is set or unset later.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.batch.ledger import BatchLedger
from airflow_provider_evolink.compat import (
    NEVER_EXPIRE,
    asset_state_store,
    outer_task,
    task_state_store,
)
from airflow_provider_evolink.execution.airflow_requests import OneAtATime
from airflow_provider_evolink.execution.metrics import report_change
from airflow_provider_evolink.execution.object_ledger import ledger_path, numbered_records, values_across_runs
from airflow_provider_evolink.submission.entries import Store
from airflow_provider_evolink.submission.ledger import Ledger

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from airflow_provider_evolink.submission.record import LedgerRecord

# Its state store keeps the copies. Airflow stores nothing for an asset that no task refers to, so every task that pays
# does. A URI with a scheme would make Airflow load the URI handlers of all providers at each parse.
LEDGER_ASSET = Asset(name="evolink_ledger")

# By how much the clocks of the scheduler and of a worker may differ.
_CLOCK_SKEW_SECONDS = 60.0

# By the id() of each task instance that this process has run, which is kept alive so that no other gets its address.
_calls: dict[int, tuple[Any, Counter[tuple[int, str]]]] = {}


def with_ledger_asset(inlets: object) -> list[Any]:
    """Return a task's inlets with the asset that keeps the copies, once."""
    given = list(inlets) if isinstance(inlets, Iterable) and not isinstance(inlets, str) else [inlets]
    return [*(inlet for inlet in given if inlet is not None and inlet != LEDGER_ASSET), LEDGER_ASSET]


def store_key_suffix(operator: BaseOperator, context: Context) -> str:
    """Return what a call of ``execute`` appends to the store keys of its ledger and of its landing's checkpoint.

    A task has one of each. An operator that is executed by hand inside another task has one for each call, counted
    within the try: a later try that makes the same calls in the same order finds what the earlier one paid for, and no
    call takes the file of another for its own.
    """
    if outer_task(operator, context) is None:
        return ""
    ti = context["ti"]
    _, calls = _calls.setdefault(id(ti), (ti, Counter()))
    calls[ti.try_number, operator.task_id] += 1
    return f"-{operator.task_id}-{calls[ti.try_number, operator.task_id]}"


def open_ledger(
    context: Context, name: str, log: Any, on_known: Callable[[LedgerRecord | None], None] | None = None
) -> Ledger:
    """Open a ledger of this task instance.

    :param name: store key of its record; see :func:`store_key_suffix`.
    :param log: receives warnings about the copy.
    :param on_known: receives the record whenever it was read, or is durable.
    :raises ConfigurationError: Airflow has no store for it. Nothing was sent.
    """
    return Ledger(
        _store(context),
        NEVER_EXPIRE,
        name=name,
        try_number=context["ti"].try_number,
        copy=_copy_of(context),
        not_before=_run_started_at(context),
        log=log,
        on_known=on_known,
    )


def open_batch_ledger(context: Context, name: str, log: Any) -> BatchLedger:
    """Open the ledger of a batch; see :func:`open_ledger`.

    :param name: store key; each of its chunks has its number appended.
    """
    return BatchLedger(
        _store(context),
        NEVER_EXPIRE,
        f"{name}-batch",
        context["ti"].try_number,
        _copy_of(context),
        _run_started_at(context),
        log,
        report_change,
    )


def has_store(context: Context) -> bool:
    """Return whether there is anything that remembers what a task pays for."""
    return _store_or_none(context) is not None


def _store(context: Context) -> Store:
    store = _store_or_none(context)
    if store is None:
        raise ConfigurationError(
            "This Airflow has no task state store (3.3 and later have it), and no other place for the ledger is "
            "configured, so a payment would be forgotten after a crash. Nothing was sent, and a retry fails too. Set "
            "ledger_path in the section [evolink] of airflow.cfg (or AIRFLOW__EVOLINK__LEDGER_PATH) to a folder that "
            "all workers share, for example ledger_path = s3://my_conn@bucket/evolink."
        )
    return store


def _store_or_none(context: Context) -> Store | None:
    # Outside of a task there is a substitute for Airflow's store, and nothing that a folder could be named by.
    path = ledger_path() if hasattr(context.get("ti"), "run_id") else None
    if path is not None:
        return numbered_records(path, context)
    store = task_state_store(context)
    return None if store is None else OneAtATime(store)


@dataclass(frozen=True, slots=True)
class MirroredStore:
    """The task state store, backed by a copy that is read if a clear has emptied the store.

    :param is_first_try: whether a clear is impossible, so that the copy can only hold values of a deleted run.
    :param log: receives a warning if the copy can't be written; the task carries on without it.
    """

    store: Store
    copy: Store
    is_first_try: bool
    log: Any

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a store key."""
        value = self.store.get(key)
        if value is not None:
            return value
        return default if self.is_first_try else self.copy.get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Store a value in both."""
        self.store.set(key, value, retention=retention)
        try:
            self.copy.set(key, value)
        except Exception as error:
            self.log.warning("The copy of %s could not be written (%s). A clear may lose it.", key, error)


def mirrored_store(context: Context, log: Any) -> Store | None:
    """Return a store for what should survive clears of a task instance; ``None`` if there is none."""
    store, copy = _store_or_none(context), _copy_of(context)
    if store is None or copy is None:
        return store
    return MirroredStore(store, copy, context["ti"].try_number <= 1, log)


@dataclass(frozen=True, slots=True)
class _AssetCopy:
    """The part of an asset's state store that belongs to one task instance."""

    store: Any
    owner: str

    def get(self, key: str, default: Any = None) -> Any:
        return self.store.get(f"{self.owner}.{key}", default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:  # noqa: ARG002 - it never expires there
        self.store.set(f"{self.owner}.{key}", value)


def store_across_runs(context: Context) -> Store | None:
    """Return a store for what should outlive the runs of a task; ``None`` if there is none."""
    if (path := ledger_path()) is not None:
        return values_across_runs(path, context)
    ti, store = context["ti"], asset_state_store(context, LEDGER_ASSET)
    return None if store is None else _AssetCopy(OneAtATime(store), copy_owner(ti.dag_id, ti.task_id, ti.map_index))


def copy_owner(*identity: str | int | None) -> str:
    """Return what the store keys of a task instance's copies begin with.

    :param identity: ids of DAG, run and task, and the map index, in this order.
    """
    return hashlib.sha256(repr(identity).encode()).hexdigest()


def _copy_of(context: Context) -> _AssetCopy | None:
    store = asset_state_store(context, LEDGER_ASSET)
    return None if store is None else _AssetCopy(OneAtATime(store), copy_owner(*_identity(context)))


def _run_started_at(context: Context) -> float:
    """Return when the run started, in seconds since the epoch; 0 if unknown, as after a clear, which resets it."""
    run: Any = context.get("dag_run")
    start_date = getattr(run, "start_date", None)
    if not isinstance(start_date, datetime) or getattr(run, "clear_number", None) != 0 or _was_cleared(context):
        return 0.0
    return start_date.timestamp() - _CLOCK_SKEW_SECONDS


def _was_cleared(context: Context) -> bool:
    """Return whether the task was cleared, which is possible without its run; the run may be restarted later."""
    task = context.get("task")
    return task is not None and context["ti"].max_tries != getattr(task, "retries", None)


def _identity(context: Context) -> tuple[Any, ...]:
    ti = context["ti"]
    return ti.dag_id, ti.run_id, ti.task_id, ti.map_index
