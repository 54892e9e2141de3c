# SPDX-License-Identifier: Apache-2.0
"""Generations that somebody else has submitted, and the task that recovers them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.recover import EvoLinkRecoverOperator

MODEL = "z-image-turbo"


def submit(emulator: EmulatorHandle, count: int = 1, *, model: str = MODEL) -> list[str]:
    """Submit generations as another tool would, let them finish, and return their ids."""
    hook = EvoLinkHook()
    requests = [hook.prepare(model, {"prompt": f"A lighthouse, number {number}"}) for number in range(count)]
    ids = [hook.submit(request, f"another-tool-{uuid4().hex}").generation.id for request in requests]
    emulator.control.advance(600)
    return ids


def recovering(folder: Path, **kwargs: Any) -> EvoLinkRecoverOperator:
    """Return a task that recovers into a folder."""
    return EvoLinkRecoverOperator(task_id="recover", destination=str(folder), **kwargs)


def folders(folder: Path) -> set[str]:
    """Return the names of the folders in a folder: of the generations that have landed."""
    return {each.name for each in folder.iterdir()} if folder.exists() else set()
