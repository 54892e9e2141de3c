# SPDX-License-Identifier: Apache-2.0
"""The contenders, and how each makes its trigger for a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.endpoint import DBT, EVOLINK, HTTP

if TYPE_CHECKING:
    from benchmarks.jobs import Job

INTERVAL = 10.0
_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Contender:
    """One kind of trigger in one configuration.

    :param key: names it in commands and files.
    :param title: names it in tables.
    :param make: makes its trigger; imports what it needs when it is called.
    :param is_peer: whether it belongs to an official provider; such runs are not repeated for large crowds.
    :param takes_batches: whether the stub offers it a batch endpoint.
    """

    key: str
    title: str
    make: Callable[[Job], Any]
    is_peer: bool = False
    takes_batches: bool = True


def _idle(job: Job) -> Any:
    from benchmarks.reference_triggers import idle

    return idle(job.generation_id)


def _shared_session(job: Job) -> Any:
    from benchmarks.reference_triggers import SharedSessionTrigger

    return SharedSessionTrigger(job.generation_id, INTERVAL)


def _http_sensor(job: Job) -> Any:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return HttpSensorTrigger(endpoint=f"plain/{job.token}", http_conn_id=HTTP, poke_interval=INTERVAL)


def _http_event(job: Job) -> Any:
    from airflow.providers.http.triggers.http import HttpEventTrigger

    # It fails on a 404, so it polls an endpoint that always responds with 200.
    return HttpEventTrigger(
        "benchmarks.check.is_done", http_conn_id=HTTP, endpoint=f"plain200/{job.token}", poll_interval=INTERVAL
    )


def _dbt(job: Job) -> Any:
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    return DbtCloudRunJobTrigger(DBT, job.token, job.ends_at + _TIMEOUT_SECONDS, INTERVAL, 1)


def _ours(job: Job, poll_interval: float | None) -> Any:
    # It imports these in another thread on its first poll; the other triggers import everything at once.
    import airflow_provider_evolink.api.client
    import airflow_provider_evolink.api.transports.aiohttp_transport  # noqa: F401
    from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger
    from benchmarks.bodies import ESTIMATE, MODEL

    return EvoLinkGenerationTrigger(
        EVOLINK,
        job.generation_id,
        submitted_at=job.begins_at,
        deadline=job.ends_at + _TIMEOUT_SECONDS,
        poll_interval=poll_interval,
        estimated_time=ESTIMATE,
        model=MODEL,
    )


IDLE, PROTOTYPE, BATCH, SINGLE = "idle", "shared-session", "ours-batch", "ours-single"
ALL = (
    Contender(IDLE, "a trigger that only sleeps", _idle),
    Contender("http-sensor", "`HttpSensorTrigger`", _http_sensor, is_peer=True),
    Contender("dbt", "`DbtCloudRunJobTrigger`", _dbt, is_peer=True),
    Contender("http-event", "`HttpEventTrigger`", _http_event, is_peer=True),
    Contender(PROTOTYPE, "one shared aiohttp session", _shared_session),
    Contender(SINGLE, "ours, batch off, every 10 s", lambda job: _ours(job, INTERVAL), takes_batches=False),
    Contender("ours-batch-10s", "ours, batch on, every 10 s", lambda job: _ours(job, INTERVAL)),
    Contender(BATCH, "ours, batch on, paced", lambda job: _ours(job, None)),
)
BY_KEY: Mapping[str, Contender] = {contender.key: contender for contender in ALL}
