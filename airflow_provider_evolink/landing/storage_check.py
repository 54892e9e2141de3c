# SPDX-License-Identifier: Apache-2.0
"""Ask S3, before a payment, whether the bucket and the credentials of a destination exist.

One request that reads and never writes. It finds out what certainly can't work, and whether the storage responds; that
a file may be written is certain only once one is.
"""

from __future__ import annotations

from airflow_provider_evolink.landing import s3
from airflow_provider_evolink.landing.storage_errors import check_error
from airflow_provider_evolink.landing.storage_target import StorageTarget

# For all attempts of the file system's client together, which alone would go on for two minutes.
TIMEOUT_SECONDS = 20


def check_bucket(destination: StorageTarget) -> None:
    """Refuse a bucket on S3 that certainly can't be written to, or that does not respond; other storage is not asked.

    Whether these credentials may list the bucket does not matter: many may only write.

    :raises StorageRefusedError: there is no such bucket, or the credentials are unknown or wrong.
    :raises LandingError: it can't be reached, or fails. A retry asks it again.
    """
    if destination.protocol not in s3.PROTOCOLS:
        return
    try:
        _look(destination)
    except Exception as error:
        if (failure := check_error(destination, error)) is not None:
            raise failure from error


def _look(destination: StorageTarget) -> None:
    try:
        s3.look(destination, timeout=TIMEOUT_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"no response within {TIMEOUT_SECONDS} s") from error
