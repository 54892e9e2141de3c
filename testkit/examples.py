# SPDX-License-Identifier: Apache-2.0
"""Values that look like EvoLink's."""

from __future__ import annotations

from airflow_provider_evolink.api.generation import EXAMPLE_ID

GENERATION_ID = EXAMPLE_ID
