# SPDX-License-Identifier: Apache-2.0
"""The operators that make one generation, to be imported from here."""

from __future__ import annotations

from airflow_provider_evolink.operators.generate import EvoLinkGenerateOperator
from airflow_provider_evolink.operators.image_to_video import EvoLinkImageToVideoOperator

__all__ = ["EvoLinkGenerateOperator", "EvoLinkImageToVideoOperator"]
