# SPDX-License-Identifier: Apache-2.0
"""The task that calls the hook, as far as it can remember what it pays for: its context, and the keys of its calls."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_evolink.api.errors import ConfigurationError, InvalidInputError
from airflow_provider_evolink.compat import current_context, is_parsing_dag_file
from airflow_provider_evolink.submission.record import STORE_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

# Neither a dot, which separates the number of a try in a store key, nor a colon.
_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")
_KEY_FORM = "1 to 100 characters of A-Z, a-z, 0-9, _ and -, such as cover or scene-1"

_running: set[tuple[int, str]] = set()
_running_lock = threading.Lock()


class _Memory:
    """A store that ends with the call."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self._values.get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:  # noqa: ARG002
        self._values[key] = value


@dataclass(frozen=True, slots=True)
class CallingTask:
    """Where a call runs.

    :param context: of the task; outside of one, a substitute that remembers nothing beyond the call.
    :param is_task: whether there is a task.
    """

    context: Context
    is_task: bool

    @property
    def outlets(self) -> list[Any]:
        """What gets asset events."""
        return list(getattr(self.context.get("task"), "outlets", None) or [])


def calling_task() -> CallingTask:
    """Return the task that this code runs in, or a substitute."""
    context = current_context()
    if context is not None:
        return CallingTask(context, is_task=True)
    substitute = {"ti": SimpleNamespace(try_number=1, max_tries=0), "task_state_store": _Memory()}
    return CallingTask(cast("Context", substitute), is_task=False)


def refuse_while_parsing() -> None:
    """Refuse to pay while a DAG file is parsed, which Airflow does again and again.

    :raises ConfigurationError: one is.
    """
    if is_parsing_dag_file():
        raise ConfigurationError(
            "EvoLinkHook.generate was called while a DAG file is parsed. Airflow parses it all the time and would pay "
            "each time, so nothing was sent. Call it in a task, such as a function decorated with @task."
        )


def ledger_name(key: object) -> str:
    """Return the store key of the ledger of a call.

    :param key: of the call. No operator's ledger has such a name, since task ids have no colon.
    :raises InvalidInputError: it is not a key.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InvalidInputError("key", key, _KEY_FORM)
    return f"{STORE_KEY}:{key}"


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys that the calls of a task instance use in this process.

    :param ti: the task instance, which is kept alive so that no other gets its address.
    :param used: numbers of tries, and the keys under which each has a generation.
    :param locks: by key; held while a call reads or writes its ledger.
    """

    ti: Any
    used: set[tuple[int, str]] = field(default_factory=set)
    locks: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))


_keys: dict[int, _Keys] = {}


def _keys_of(task: CallingTask) -> _Keys:
    ti = task.context["ti"]
    return _keys.setdefault(id(ti), _Keys(ti)) if task.is_task else _Keys(ti)


def note_use(task: CallingTask, key: str) -> None:
    """Note that this try has a generation under a key."""
    _keys_of(task).used.add((task.context["ti"].try_number, key))


def has_used(task: CallingTask, key: str) -> bool:
    """Return whether an earlier call of this try has a generation under a key."""
    return (task.context["ti"].try_number, key) in _keys_of(task).used


def ledger_access(task: CallingTask, key: str) -> AbstractContextManager[Any]:
    """Return what is held while a call reads or writes its ledger.

    A call that was cancelled goes on in its thread until its request ends. A later one with the same key waits for
    that, or the first would overwrite what the later one has paid for.
    """
    return _keys_of(task).locks[key]


@contextmanager
def only_call(task: CallingTask, key: str) -> Iterator[None]:
    """Refuse a call while another of the same key runs in the same task: both would pay.

    :raises InvalidInputError: there is one.
    """
    call = (id(task.context["ti"]), key)
    with _running_lock:
        if call in _running:
            raise InvalidInputError("key", key, "another one for each call that runs at the same time")
        _running.add(call)
    try:
        yield
    finally:
        with _running_lock:
            _running.discard(call)
