# SPDX-License-Identifier: Apache-2.0
"""Ask Azure Blob Storage, without the repetitions of its client, which go on for a minute."""

from __future__ import annotations

from airflow_provider_evolink.landing.storage_target import AZURE, StorageTarget

PROTOCOLS = AZURE


def look(folder: StorageTarget, *, timeout: float) -> None:
    """List at most one blob of a folder.

    :param timeout: seconds.
    :raises TimeoutError: they were not enough.
    """
    from fsspec.asyn import sync

    sync(folder.fs.loop, _list_first, folder, timeout=timeout)


async def _list_first(folder: StorageTarget) -> None:
    container, key, _ = folder.fs.split_path(folder.path)
    prefix = f"{key.rstrip('/')}/" if key else None
    async with folder.fs.service_client.get_container_client(container) as client:
        blobs = client.list_blobs(name_starts_with=prefix, results_per_page=1, retry_total=0)
        async for _ in blobs.by_page():
            break
