# SPDX-License-Identifier: Apache-2.0
"""The file systems of the roots, each built from its connection as it is now.

Airflow keeps a file system for as long as a process lives, so an api-server would not notice a changed connection.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.ui.roots import Root


@dataclass
class FileSystems:
    """File systems by root, built again once a connection has changed. Safe to share among threads."""

    _built: dict[tuple[str, str | None], tuple[str | None, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, root: Root) -> Any:
        """Return the fsspec file system of a root that is not on this machine.

        Blocks for the lookup of the connection; call it in a thread without an event loop.

        :raises AirflowNotFoundException: Airflow does not have its connection.
        :raises ValueError, ImportError: the packages for the storage are not installed, or its connection is unusable.
        :raises Exception: whatever else the storage's client raises.
        """
        place = root.scheme, root.conn_id
        content = _digest(root.conn_id)
        with self._lock:
            known = self._built.get(place)
        if known is not None and known[0] == content:
            return known[1]
        fs = _build(root)
        with self._lock:
            self._built[place] = content, fs
        return fs


def _digest(conn_id: str | None) -> str | None:
    """Return a digest of what a connection contains.

    It has to exist: some storages would be read with the machine's own credentials instead.
    """
    from airflow_provider_evolink.compat import BaseHook

    if conn_id is None:
        return None
    return hashlib.sha256(BaseHook.get_connection(conn_id).get_uri().encode()).hexdigest()


def _build(root: Root) -> Any:
    from airflow.sdk.io.fs import get_fs

    return get_fs(root.scheme, root.conn_id)
