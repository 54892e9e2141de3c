# SPDX-License-Identifier: Apache-2.0
"""Paths of object storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath


def storage_conn_id(path: ObjectStoragePath) -> str | None:
    """Return the id of a path's connection, which before 3.2 is an option of its storage; ``None`` without any."""
    if hasattr(type(path), "conn_id"):
        return path.conn_id
    return cast("str | None", path.storage_options.get("conn_id"))
