# SPDX-License-Identifier: Apache-2.0
"""Read an image from wherever Airflow can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_evolink.api.media import MAX_IMAGE_BYTES
from airflow_provider_evolink.landing.storage_target import opened_path

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath


def read_image(location: str) -> bytes:
    """Read an image from a local path or a storage URI, up to one byte more than fits into a request.

    :param location: a path, or a URI such as ``s3://conn_id@bucket/key``.
    :raises OSError, ValueError, ImportError: it can't be read, or its scheme needs a provider that is not installed.
    :raises ConnectionError: the storage is unreachable. A retry may succeed.
    """
    try:
        return _head(opened_path(location))
    except (OSError, ValueError, ImportError):
        raise
    except Exception as error:
        # Storage clients have exceptions of their own, most of them transient.
        raise ConnectionError(
            f"{location} can't be read at the moment ({error}). Nothing was sent by this try."
        ) from error


def _head(path: ObjectStoragePath) -> bytes:
    with path.open("rb") as file:  # type: ignore[no-untyped-call]
        data: bytes = file.read(MAX_IMAGE_BYTES + 1)
    return data
