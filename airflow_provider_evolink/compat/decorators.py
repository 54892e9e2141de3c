# SPDX-License-Identifier: Apache-2.0
"""What task decorators are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.bases import decorator
from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory

if TYPE_CHECKING or hasattr(decorator, "determine_kwargs"):
    from airflow.sdk.bases.decorator import determine_kwargs
else:  # before 3.2
    from airflow.utils.operator_helpers import determine_kwargs

__all__ = ["DecoratedOperator", "determine_kwargs", "task_decorator_factory"]
