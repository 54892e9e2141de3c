# SPDX-License-Identifier: Apache-2.0
"""Rename a file on an SFTP server, which its fsspec file system does otherwise.

That one replaces what exists, and on a server without OpenSSH's extension it has a shell there copy the file under its
name, where a part of it can be read meanwhile, and removes the original even if that has failed.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_evolink.landing.staged_file import stored_size
from airflow_provider_evolink.landing.storage_target import StorageTarget

PROTOCOLS = frozenset({"sftp", "ssh"})


def rename(file: StorageTarget, target: StorageTarget, *, replace: bool) -> None:
    """Rename a file, in one step.

    :param replace: over an existing file, which not all servers can do; by default the server refuses to.
    :raises FileExistsError: there is an existing file; it was left alone.
    """
    from fsspec.asyn import sync

    try:
        sync(file.fs.loop, _rename, file.fs, file.path, target.path, replace)
    except Exception as error:
        # OpenSSH reports no more than a failure.
        if not replace and stored_size(target) is not None:
            raise FileExistsError(target.path) from error
        raise


async def _rename(fs: Any, path: str, new_path: str, replace: bool) -> None:
    async with fs._pool.get() as channel:  # noqa: SLF001 - it has no public call for this
        await (channel.posix_rename if replace else channel.rename)(path, new_path)
