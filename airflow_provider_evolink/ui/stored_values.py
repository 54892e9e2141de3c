# SPDX-License-Identifier: Apache-2.0
"""Read the XComs that Airflow's object-storage backend keeps in files. Everything here blocks.

In place of a large value, Airflow's database has the path of such a file: a text, as which anybody who may write a DAG
can push any path. So a file is read only from the folder in which the backend puts the values of that very task, which
a reader of its XComs may see anyway. Values of other backends are not known to be paths, or of what.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlsplit

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.ui.entries import TaskValues
from airflow_provider_evolink.ui.file_systems import FileSystems
from airflow_provider_evolink.ui.roots import NotShownError, Root, locate, parse_root
from airflow_provider_evolink.ui.stored_files import StorageError, StoredFile, open_file
from airflow_provider_evolink.ui.task_values import Selection

_BACKEND: Final = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
# A record has some 2 kB, a list of a thousand landed files 500.
MAX_BYTES = 8 * 2**20


class _UnreadableValueError(Exception):
    """A value that can't be read; the message is for the reader of the page."""


@dataclass(frozen=True, slots=True)
class StoredValues:
    """What the configured XCom backend keeps in files."""

    file_systems: FileSystems

    def resolved(self, values: TaskValues, selection: Selection) -> TaskValues:
        """Return what is stored about a task instance, with the values themselves in place of their paths.

        :param selection: the run of the task instance.
        :return: ``unreadable`` says why a value that should be in a file is left as it is.
        """
        pushed = values.returned, values.generation_id, values.manifest, values.progress
        if not any(map(_may_be_path, pushed)):
            return values
        root = _configured_root()
        if root is None:
            return values
        own = replace(root, path=f"{root.path}/{selection.dag_id}/{selection.run_id}/{values.task_id}")
        try:
            returned, generation_id, manifest, progress = [self._value(each, root, own) for each in pushed]
        except _UnreadableValueError as error:
            return replace(values, unreadable=str(error))
        return replace(values, returned=returned, generation_id=generation_id, manifest=manifest, progress=progress)

    def _value(self, stored: Any, root: Root, own: Root) -> Any:
        uri = _uri(stored) if _may_be_path(stored) else None
        if uri is None or not uri.startswith(f"{root.scheme}://{root.path}/"):
            return stored
        try:
            file = open_file(locate(uri, root.conn_id, (own,)), self.file_systems)
            return json.loads(_content(file))
        except NotShownError as error:
            raise _UnreadableValueError("It is not where that backend puts the values of this task.") from error
        except StorageError as error:
            raise _UnreadableValueError(str(error)) from error
        except Exception as error:  # each compression has errors of its own
            raise _UnreadableValueError("Its file has something else than a value.") from error


def _configured_root() -> Root | None:
    """Return the folder of Airflow's object-storage backend; None if another backend is configured, or one of its own.

    Its values are plain JSON, which is read without Airflow's decoder: that makes objects of the classes it names.
    """
    from airflow_provider_evolink.compat import conf

    if conf.get("core", "xcom_backend", fallback="") != _BACKEND:
        return None
    try:
        return parse_root(conf.get("common.io", "xcom_objectstorage_path", fallback="") or "")
    except InvalidInputError:
        return None


def _may_be_path(stored: object) -> bool:
    return isinstance(stored, str) and "://" in stored


def _uri(stored: str) -> str | None:
    """Return the URI of a value without the connection in it, and with all slashes of a path of this machine."""
    scheme, _, rest = stored.partition("://")
    try:
        user, _, _ = urlsplit(stored).netloc.rpartition("@")
    except ValueError:
        return None
    return f"{scheme}://{rest[len(user) + 1 :] if user else rest}"


def _content(file: StoredFile) -> bytes:
    """Return what is in a file, which the backend compresses if it is configured to: its suffix says how."""
    from fsspec.compression import compr
    from fsspec.utils import infer_compression

    if file.size > MAX_BYTES:
        raise ValueError("too large")
    content = file.read(0, file.size)
    compression = infer_compression(file.path)
    if compression is None:
        return content
    with compr[compression](BytesIO(content), mode="rb") as stream:
        unpacked: bytes = stream.read(MAX_BYTES + 1)
    if len(unpacked) > MAX_BYTES:
        raise ValueError("too large")
    return unpacked
