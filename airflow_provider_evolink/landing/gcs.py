# SPDX-License-Identifier: Apache-2.0
"""Ask Google Cloud Storage, without the repetitions of its client, which go on for half a minute at each request."""

from __future__ import annotations

import inspect

from airflow_provider_evolink.landing.storage_target import StorageTarget

PROTOCOLS = frozenset({"gs", "gcs"})


def refresh_token(target: StorageTarget) -> None:
    """Get an access token, unless there is a valid one, as the next request would.

    :raises Exception: the credentials are refused, or can't be exchanged for a token at the moment.
    """
    target.fs.credentials.maybe_refresh()


def look(folder: StorageTarget, *, timeout: float) -> None:
    """List at most one object of a folder.

    :param timeout: seconds.
    :raises TimeoutError: they were not enough.
    """
    from fsspec.asyn import sync

    bucket, key, _ = folder.fs.split_path(folder.path)
    once = inspect.unwrap(type(folder.fs)._request)  # noqa: SLF001 - the public call repeats what fails
    query = {"prefix": f"{key.rstrip('/')}/" if key else "", "maxResults": 1}
    sync(folder.fs.loop, once, folder.fs, "GET", "b/{}/o", bucket, timeout=timeout, **query)
