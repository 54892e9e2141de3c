# SPDX-License-Identifier: Apache-2.0
"""Reading a picture from wherever Airflow can reach."""

from __future__ import annotations

from airflow_provider_evolink.api.media import MAX_IMAGE_BYTES


def read_image(location: str) -> bytes:
    """
    Read a picture from a local path or any storage URI, and no more of it than a request can hold.

    :param location: a path, or a URI such as ``s3://conn_id@bucket/key``.
    :raises OSError, ValueError, ImportError: it can't be read, or its scheme needs a provider that is not installed.
    """
    from airflow.sdk import ObjectStoragePath

    with ObjectStoragePath(location).open("rb") as file:  # type: ignore[no-untyped-call]
        data: bytes = file.read(MAX_IMAGE_BYTES + 1)
    return data
