# SPDX-License-Identifier: Apache-2.0
"""
What outlives the tries of the task instance that is running, and the clears: its ledger, and the notes of its landings.

Both are in Airflow's task state store, which a clear may empty, and in a copy, which it does not.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.compat import NEVER_EXPIRE, asset_state_store, outer_task, task_state_store
from airflow_provider_evolink.submission.ledger import Ledger, Store
from airflow_provider_evolink.submission.record import STORE_KEY

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

# Its state store keeps the copies. Airflow keeps nothing for an asset that no task names, so every task that pays does.
# A URI with a scheme would make Airflow load the handlers of all providers at each parse.
LEDGER_ASSET = Asset(name="evolink_ledger")

# The clocks of the scheduler and of a worker do.
_CLOCKS_DIFFER_SECONDS = 60.0

# By the identity of each task instance that this process has run; it is held, so that no other gets its address.
_calls: dict[int, tuple[Any, Counter[tuple[int, str]]]] = {}


def with_ledger_asset(inlets: object) -> list[Any]:
    """Return a task's inlets with the asset that keeps the copies among them, once."""
    given = list(inlets) if isinstance(inlets, Iterable) and not isinstance(inlets, str) else [inlets]
    return [*(inlet for inlet in given if inlet is not None and inlet != LEDGER_ASSET), LEDGER_ASSET]


def ledger_name(operator: BaseOperator, context: Context) -> str:
    """
    Name the record of a call of ``execute``.

    A task has one. An operator that is executed by hand inside another task has one for each call, counted within the
    try: a later try that makes the same calls in the same order finds what the earlier one has paid for.
    """
    if outer_task(operator, context) is None:
        return STORE_KEY
    ti = context["ti"]
    _, calls = _calls.setdefault(id(ti), (ti, Counter()))
    calls[ti.try_number, operator.task_id] += 1
    return f"{STORE_KEY}-{operator.task_id}-{calls[ti.try_number, operator.task_id]}"


def open_ledger(context: Context, name: str, log: Any) -> Ledger:
    """
    Open a record of this task instance.

    :raises ConfigurationError: Airflow has no store for it.
    """
    store = task_state_store(context)
    if store is None:
        raise ConfigurationError(
            "Airflow offers this task no state store, so nothing would be known of a payment after a crash. "
            "Nothing was sent. Airflow 3.3 or later is needed."
        )
    return Ledger(
        store,
        NEVER_EXPIRE,
        name=name,
        try_number=context["ti"].try_number,
        copy=_copy_of(context),
        not_before=_run_began(context),
        log=log,
    )


@dataclass(frozen=True, slots=True)
class MirroredStore:
    """
    The task state store, and behind it a copy that answers where a clear has emptied the store.

    :param is_first_try: whether there can't have been a clear: what the copy holds then is of a deleted run.
    :param log: is told of a copy that can't be written, which stops nothing.
    """

    store: Store
    copy: Store
    is_first_try: bool
    log: Any

    def get(self, key: str, default: Any = None) -> Any:
        """Return what is kept under a key."""
        kept = self.store.get(key)
        if kept is not None:
            return kept
        return default if self.is_first_try else self.copy.get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Keep a value in both."""
        self.store.set(key, value, retention=retention)
        try:
            self.copy.set(key, value)
        except Exception as error:
            self.log.warning("The copy of %s could not be written (%s); a clear may forget it.", key, error)


def mirrored_store(context: Context, log: Any) -> Store | None:
    """Return a store for what a task instance should remember after a clear, too; ``None`` where Airflow has none."""
    store, copy = task_state_store(context), _copy_of(context)
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


def _copy_of(context: Context) -> _AssetCopy | None:
    store = asset_state_store(context, LEDGER_ASSET)
    return None if store is None else _AssetCopy(store, hashlib.sha256(repr(_identity(context)).encode()).hexdigest())


def _run_began(context: Context) -> float:
    """When the run was started, in seconds since the epoch, as far as Airflow still knows: a clear starts it anew."""
    run: Any = context.get("dag_run")
    began = getattr(run, "start_date", None)
    if not isinstance(began, datetime) or getattr(run, "clear_number", None) != 0 or _was_cleared(context):
        return 0.0
    return began.timestamp() - _CLOCKS_DIFFER_SECONDS


def _was_cleared(context: Context) -> bool:
    """Whether the task was cleared, as it can be without its run: that one may be started anew without it, too."""
    task = context.get("task")
    return task is not None and context["ti"].max_tries != getattr(task, "retries", None)


def _identity(context: Context) -> tuple[Any, ...]:
    ti = context["ti"]
    return ti.dag_id, ti.run_id, ti.task_id, ti.map_index
