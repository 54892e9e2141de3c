# SPDX-License-Identifier: Apache-2.0
"""Marks of tests that need what not every supported Airflow has."""

from __future__ import annotations

import pytest
from airflow import sdk
from airflow.providers_manager import ProvidersManager

from airflow_provider_evolink.compat import has_state_stores

NO_STATE_STORES = "Airflow has no state stores before 3.3"

needs_state_stores = pytest.mark.skipif(not has_state_stores(), reason=NO_STATE_STORES)
needs_retry_policies = pytest.mark.skipif(
    not hasattr(sdk, "RetryPolicy"), reason="Airflow asks no retry policy before 3.3"
)
needs_provider_metadata = pytest.mark.skipif(
    not hasattr(ProvidersManager, "cli_command_functions"),
    reason="Before 3.2 Airflow takes neither commands nor forms nor the defaults of options from a provider's metadata",
)
needs_async_tasks = pytest.mark.skipif(
    not hasattr(sdk, "BaseAsyncOperator"), reason="Before 3.2 Airflow runs no task whose function is a coroutine"
)
