# SPDX-License-Identifier: Apache-2.0
"""Airflow's exceptions, which 3.2 moved to its SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import exceptions as sdk_exceptions

if TYPE_CHECKING or hasattr(sdk_exceptions, "AirflowFailException"):
    from airflow.sdk.exceptions import (
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        TaskDeferralError,
        TaskDeferralTimeout,
    )
else:  # before 3.2
    from airflow.exceptions import (
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        TaskDeferralError,
        TaskDeferralTimeout,
    )

# What Airflow raises when a process has no such connection; not every version has the second.
CONNECTION_NOT_FOUND = (
    AirflowNotFoundException,
    getattr(sdk_exceptions, "AirflowSecretsBackendAccessDenied", AirflowNotFoundException),
)

__all__ = [
    "CONNECTION_NOT_FOUND",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "TaskDeferralError",
    "TaskDeferralTimeout",
]
