# SPDX-License-Identifier: Apache-2.0
"""Every style: decorated functions, and Python that calls the hook, one by one and at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow.sdk import DAG, AssetAlias, task

from airflow_provider_evolink.hooks.evolink import EvoLinkHook

MODEL = "gemini-omni-flash-text-to-video"
ALIAS = AssetAlias("python_videos")


@task.evolink(model=MODEL, destination="{{ params.destination }}")
def decorated(subject: str) -> dict[str, Any]:
    """Return the parameters."""
    return {"prompt": subject, "duration": 3}


@task.evolink(model="{{ params.model }}")
async def awaited(subject: str, params: Any = None) -> dict[str, Any]:
    """Return the parameters later."""
    await asyncio.sleep(0)
    return {"prompt": f"{subject} for {params['model']}", "duration": 3}


@task.evolink(model=MODEL, deferrable=False)
def of_each(subject: str) -> dict[str, Any]:
    """Return the parameters of one of many."""
    return {"prompt": subject, "duration": 3}


@task
def subjects(record: dict[str, Any]) -> list[str]:
    """Return what is only known when the DAG runs."""
    return [f"{record['status']} lighthouse", f"{record['usage']['credits_used']:g} harbors"]


@task(retries=1, retry_delay=0, outlets=[ALIAS])
def blocking(params: Any = None, ti: Any = None) -> list[str]:
    """Generate two in turn, and fail between them in the first try."""
    hook = EvoLinkHook()
    first = hook.generate(MODEL, {"prompt": "first", "duration": 3}, key="first")
    if ti.try_number == 1:
        raise RuntimeError("fails after the first is paid for")
    assert first["reattached"]
    second = hook.generate(MODEL, {"prompt": "second", "duration": 3}, key="second")
    landed = [hook.land(record, params["destination"], "{index}-{generation_id}.{ext}") for record in (first, second)]
    return [file["uri"] for files in landed for file in files]


@task
async def concurrent() -> list[str]:
    """Generate three at the same time."""
    hook = EvoLinkHook()
    calls = (hook.generate_async(MODEL, {"prompt": f"scene {n}", "duration": 3}, key=f"scene-{n}") for n in range(3))
    return [record["generation_id"] for record in await asyncio.gather(*calls)]


with DAG(
    "python_styles", schedule=None, params={"model": MODEL, "destination": "/videos"}, default_args={"inlets": []}
):
    of_each.expand(subject=subjects(decorated("{{ dag.dag_id }} at dawn")))
    awaited("A pier")
    blocking()

with DAG("awaited_style", schedule=None):
    concurrent()
