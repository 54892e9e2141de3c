# SPDX-License-Identifier: Apache-2.0
"""The ledger in the storage that ``[evolink] ledger_path`` names; see :mod:`..submission.record_log` for how it works.

Below it, each task instance has a folder that a person can find::

    <dag id>/<task id>/<run id>[~map<index>]/evolink/000001.json
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_evolink.api.errors import ConfigurationError, InvalidInputError, LandingInputError, LedgerError
from airflow_provider_evolink.api.wording import shorten
from airflow_provider_evolink.compat import conf
from airflow_provider_evolink.execution.airflow_requests import one_airflow_request
from airflow_provider_evolink.landing.create_only import CreateOnlyFolder, OverwritesError, check_scheme
from airflow_provider_evolink.landing.storage_target import check_form, storage_target
from airflow_provider_evolink.submission.record_log import NumberedRecords, Writer, file_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.submission.entries import Store

OPTION = "[evolink] ledger_path"
# For what outlives a task's runs. No run has this name: those that are not plain have a digest.
_ALL_RUNS = "all~runs"

# By the id() of a task instance, which is kept alive so that no other gets its address, and the number of its try.
_stores: dict[tuple[int, int], tuple[Any, NumberedRecords]] = {}


def ledger_path() -> str | None:
    """Return where ledgers are kept in a storage; ``None`` if Airflow keeps them."""
    return (conf.get("evolink", "ledger_path", fallback="") or "").strip() or None


def numbered_records(path: str, context: Context) -> Store:
    """Return the store of a try, the same for all its ledgers in this process: what it has read it reads once.

    Nothing is opened yet. Whatever is wrong with the storage is raised by the first read.

    :param path: see :func:`ledger_path`.
    """
    ti: Any = context["ti"]
    identity = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}
    writer = Writer(identity, ti.try_number, str(getattr(ti, "id", "")))
    store = NumberedRecords(lambda: ledger_root(path) / instance_folder(**identity), writer)
    return _stores.setdefault((id(ti), ti.try_number), (ti, store))[1]


@dataclass(frozen=True, slots=True)
class PlainValues:
    """A store for what may be overwritten: nothing that is paid for depends on it.

    :param path: see :func:`ledger_path`.
    :param folder: below it.
    """

    path: str
    folder: str

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a store key."""
        folder, name = self._open(), f"{file_name(key)}.json"
        return json.loads(folder.read(name)) if name in folder.names() else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:  # noqa: ARG002 - values stay
        """Store a JSON value."""
        self._open().replace(f"{file_name(key)}.json", json.dumps(value, allow_nan=False).encode())

    def _open(self) -> CreateOnlyFolder:
        return ledger_root(self.path) / self.folder


def values_across_runs(path: str, context: Context) -> Store:
    """Return a store for what should outlive the runs of a task."""
    ti = context["ti"]
    return PlainValues(path, f"{task_folder(ti.dag_id, ti.task_id)}/{_instance_name(_ALL_RUNS, ti.map_index)}")


def task_folder(dag_id: str, task_id: str) -> str:
    """Return the folder of a task, below the root."""
    return f"{file_name(dag_id)}/{file_name(task_id)}"


def instance_folder(dag_id: str, task_id: str, run_id: str, map_index: int | None) -> str:
    """Return the folder of a task instance, below the root."""
    return f"{task_folder(dag_id, task_id)}/{_instance_name(file_name(run_id), map_index)}"


def _instance_name(run: str, map_index: int | None) -> str:
    return run if map_index in (None, -1) else f"{run}~map{map_index}"


def ledger_root(path: str) -> CreateOnlyFolder:
    """Open the storage; once per process it is made sure that it refuses to overwrite.

    :param path: see :func:`ledger_path`.
    :raises InvalidInputError: it can't be a path of a storage.
    :raises ConfigurationError: the storage overwrites files. Nothing was sent.
    :raises LedgerError: it can't be reached, or refuses access, or has no such folder. Nothing was sent; a retry tries
        again.
    """
    # A process that was forked can't use the connections of its parent.
    return _checked_root(path, os.getpid())


@functools.lru_cache(maxsize=4)
def _checked_root(path: str, _process_id: int) -> CreateOnlyFolder:
    try:
        with one_airflow_request():
            root = _opened_root(path)
        root.check()
    except OverwritesError as error:
        raise ConfigurationError(
            f"{OPTION}={shorten(path)} can't hold the ledger: {error}. Two workers could pay for the same generation "
            "unnoticed. Nothing was sent, and a retry fails too: use a folder on S3 (s3fs 2025.7 or later and a server "
            "that supports If-None-Match), Azure, Google, or a file system with hard links that all workers share."
        ) from error
    except OSError as error:
        raise _unusable(path, error) from error
    return root


def _opened_root(path: str) -> CreateOnlyFolder:
    try:
        check_form(path)
        check_scheme(urlsplit(path).scheme.lower())
        return CreateOnlyFolder(storage_target(path, OPTION))
    except OverwritesError:
        raise
    except LandingInputError as error:
        raise InvalidInputError(OPTION, error.value, error.allowed) from error
    except Exception as error:
        raise _unusable(path, error) from error


def _unusable(path: str, error: Exception) -> LedgerError:
    reason = getattr(error, "facts", str(error)).rstrip(".")
    is_missing = isinstance(error, FileNotFoundError)
    remedy = "Create it, or mount it there" if is_missing else "Every worker must list, read and create files there"
    return LedgerError(
        f"The task's ledger can't be kept in {OPTION}={shorten(path)}: {reason}. Nothing was sent.",
        advice=f"{remedy}; a retry tries again.",
    )
