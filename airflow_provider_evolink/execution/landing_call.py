# SPDX-License-Identifier: Apache-2.0
"""The call of ``EvoLinkHook.land``: the transfer, for Python code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.execution.calling_task import calling_task
from airflow_provider_evolink.execution.landing_step import LandingStep
from airflow_provider_evolink.landing.checkpoint import STORE_KEY

if TYPE_CHECKING:
    from airflow_provider_evolink.execution.account import Account
    from airflow_provider_evolink.types import LandedFile


def land(
    account: Account,
    generation: str | Mapping[str, Any],
    destination: Any,
    filename_pattern: str,
    on_existing: str,
    asset_name: str | None,
) -> list[LandedFile]:
    """Land the results of a generation; see ``EvoLinkHook.land``."""
    task = calling_task()
    generation_id = generation.get("generation_id") if isinstance(generation, Mapping) else generation
    step = LandingStep(
        destination=_as_text(destination),
        filename_pattern=filename_pattern,
        on_existing=on_existing,
        outlets=task.outlets,
        hook=account,
        log=account.log,
        # One for each generation, so that calls at the same time don't overwrite each other's.
        store_key=f"{STORE_KEY}:{generation_id}",
        asset_name=asset_name,
    )
    return step.land(task.context, generation)


def _as_text(destination: Any) -> Any:
    """Return a local path as text, which Python code has as a ``Path``; an ``ObjectStoragePath`` stays one."""
    from airflow.sdk import ObjectStoragePath

    is_local = isinstance(destination, PurePath) and not isinstance(destination, ObjectStoragePath)
    return str(destination) if is_local else destination
