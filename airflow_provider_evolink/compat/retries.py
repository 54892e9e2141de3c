# SPDX-License-Identifier: Apache-2.0
"""Airflow's retry policies, which 3.3 introduced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow import sdk

if TYPE_CHECKING or hasattr(sdk, "RetryPolicy"):
    from airflow.sdk import RetryDecision, RetryPolicy
else:

    class RetryDecision:
        """Stands for the answer of a policy, which no Airflow before 3.3 asks for."""

    class RetryPolicy:
        """Stands for the base of policies, so that a DAG file which makes one can be read before Airflow 3.3."""


__all__ = ["RetryDecision", "RetryPolicy"]
