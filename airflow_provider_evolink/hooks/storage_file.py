# SPDX-License-Identifier: Apache-2.0
"""Open media files wherever Airflow can reach: local paths, and any storage that it has a file system for."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from airflow_provider_evolink.api.addresses import without_secrets
from airflow_provider_evolink.api.errors import InputConnectionNotFoundError
from airflow_provider_evolink.api.event_loop import outside_event_loop
from airflow_provider_evolink.api.wording import how_to_define
from airflow_provider_evolink.compat import CONNECTION_NOT_FOUND, BaseHook, has_lineage_readers
from airflow_provider_evolink.landing.storage_target import opened_path, required_connection

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

T = TypeVar("T")


def input_path(location: str) -> ObjectStoragePath:
    """Open the path of an input; raises as :func:`~airflow_provider_evolink.landing.storage_target.opened_path`.

    :raises InputConnectionNotFoundError: there is no such connection, or this process may not use it. S3 would be read
        without one, by Airflow's hook: with the worker's own credentials, or none.
    """
    conn_id = required_connection(location)
    if conn_id is not None and ":" not in conn_id:
        try:
            outside_event_loop(lambda: _require_connection(conn_id))
        except CONNECTION_NOT_FOUND as error:
            raise InputConnectionNotFoundError(
                f"Connection {conn_id!r} of {without_secrets(location)} (the part before the @) was not found by this "
                f"process. {how_to_define(conn_id)} Nothing was sent.",
                advice="A retry fails too until it is there.",
            ) from error
    return opened_path(location)


@functools.lru_cache(maxsize=128)
def _require_connection(conn_id: str) -> None:
    """Look a connection up, once in each process: Airflow keeps the file system that it makes of it, too."""
    BaseHook.get_connection(conn_id)


class StorageFile:
    """A file at a local path or in a storage.

    :param location: a path, or a URI such as ``s3://conn_id@bucket/key``.
    :raises OSError, ValueError, ImportError: its scheme needs a provider that is not installed, or it is malformed.
    :raises ConnectionError: the storage is unreachable, or there is no connection to it. A retry may succeed.
    """

    def __init__(self, location: str) -> None:
        local = os.path.expanduser(location) if location.startswith("~") else location  # noqa: PTH111
        self.source = str(without_secrets(location)) if "://" in location else location
        self._path: ObjectStoragePath = self._reached(lambda: input_path(local))

    def version(self) -> str:
        """Return a hash of what its storage knows about it: size, time, version."""
        path = self._path

        def properties() -> str:
            return f"{path.protocol}:{path.path}:{sorted(path.fs.info(path.path).items(), key=str)}"

        return hashlib.sha256(self._reached(properties).encode()).hexdigest()

    def open(self) -> BinaryIO:
        """Open it for reading."""
        path = self._path
        # Airflow's path reports each read to its collector.
        if has_lineage_readers():
            return cast("BinaryIO", self._reached(lambda: path.open("rb")))  # type: ignore[no-untyped-call]
        return cast("BinaryIO", self._reached(lambda: path.fs.open(path.path, "rb")))

    def _reached(self, operation: Callable[[], T]) -> T:
        try:
            return operation()
        except (OSError, ValueError, ImportError):
            raise
        except Exception as error:
            # Storage clients have exceptions of their own, most of them transient.
            raise ConnectionError(
                f"{self.source} can't be read at the moment ({error}). Nothing was sent by this try."
            ) from error
