# SPDX-License-Identifier: Apache-2.0
"""Reading a picture from wherever Airflow can reach, and telling what may be uploaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_evolink.api.media import MAX_IMAGE_BYTES

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath


def read_image(location: str) -> bytes:
    """
    Read a picture from a local path or any storage URI, and no more of it than a request can hold.

    :param location: a path, or a URI such as ``s3://conn_id@bucket/key``.
    :raises OSError, ValueError, ImportError: it can't be read, or its scheme needs a provider that is not installed.
    :raises ConnectionError: the storage can't be asked just now. A retry may pass.
    """
    from airflow.sdk import ObjectStoragePath

    try:
        return _head(ObjectStoragePath(location))
    except (OSError, ValueError, ImportError):
        raise
    except Exception as error:
        # Storage clients have failures of their own, most of which pass.
        raise ConnectionError(f"{location} can't be read just now ({error}). Nothing was sent by this try.") from error


def _head(path: ObjectStoragePath) -> bytes:
    with path.open("rb") as file:  # type: ignore[no-untyped-call]
        data: bytes = file.read(MAX_IMAGE_BYTES + 1)
    return data
