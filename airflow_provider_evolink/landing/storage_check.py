# SPDX-License-Identifier: Apache-2.0
"""Ask an object storage, before a payment, whether the bucket and the credentials of a destination exist.

One request that reads and never writes. It finds out what certainly can't work, and whether the storage responds; that
a file may be written is certain only once one is.
"""

from __future__ import annotations

from airflow_provider_evolink.landing import azure, gcs, s3
from airflow_provider_evolink.landing.storage_errors import check_error
from airflow_provider_evolink.landing.storage_target import StorageTarget

# For everything that the file system's client does, which alone would go on for two minutes.
TIMEOUT_SECONDS = 20


def check_bucket(destination: StorageTarget) -> None:
    """Refuse a bucket that certainly can't be written to, or that does not respond.

    S3, Azure and Google Cloud Storage are asked, other storage is not. Whether these credentials may list the bucket
    does not matter: many may only write.

    :raises StorageRefusedError: there is no such bucket, or the credentials are unknown or wrong.
    :raises LandingError: it can't be reached, or fails. A retry asks it again.
    """
    looks = [store.look for store in (s3, azure, gcs) if destination.protocol in store.PROTOCOLS]
    for look in looks:
        try:
            look(destination, timeout=TIMEOUT_SECONDS)
        except Exception as error:
            if (failure := check_error(destination, _named(error))) is not None:
                raise failure from error


def _named(error: Exception) -> Exception:
    """Return the error that says what has happened: a timeout has no message."""
    return TimeoutError(f"no response within {TIMEOUT_SECONDS} s") if isinstance(error, TimeoutError) else error
