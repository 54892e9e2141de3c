# SPDX-License-Identifier: Apache-2.0
"""Response bodies of the stub, of a realistic size, for each of the services that it stands in for. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from benchmarks.jobs import Job, job_of, job_of_id

MODEL = "gemini-omni-flash-image-to-video"
ESTIMATE = 17
RESULTS_HOST = "https://files.evolink.ai"
DBT_RUNNING, DBT_SUCCESS = 3, 10
MAX_BATCH_SIZE = 50

Response = tuple[int, bytes]


def respond(method: str, path: str, body: bytes, now: float, *, takes_batches: bool) -> Response:
    """Respond to a request.

    :param method: of the request.
    :param path: of the request.
    :param body: of the request.
    :param now: seconds since the epoch.
    :param takes_batches: whether there is an endpoint for many generations at once.
    :return: status and body.
    """
    last = path.rstrip("/").rpartition("/")[2]
    if path.startswith("/api/v2/accounts/"):
        return 200, to_json(dbt_run(job_of(int(last)), now))
    if path.startswith("/plain200/"):
        return 200, to_json({"id": last, "done": job_of(int(last)).ends_at <= now})
    if path.startswith("/plain/"):
        is_done = job_of(int(last)).ends_at <= now
        return (200 if is_done else 404), to_json({"id": last, "done": is_done})
    if method == "POST" and path == "/v1/tasks/batch" and takes_batches:
        return 200, to_json({"data": _many(json.loads(body)["task_ids"], now)})
    if method == "GET" and path.startswith("/v1/tasks/"):
        return 200, to_json(generation(job_of_id(last), now))
    return 404, NOT_FOUND


def _many(ids: Iterable[str], now: float) -> list[dict[str, Any]]:
    return [generation(job_of_id(generation_id), now) for generation_id in list(ids)[:MAX_BATCH_SIZE]]


def generation(job: Job, now: float, *, origin: str = RESULTS_HOST, estimate: int = ESTIMATE) -> dict[str, Any]:
    """Return a generation's detail; its progress never moves, so that the end can't be predicted from it.

    :param job: the generation.
    :param now: seconds since the epoch.
    :param origin: scheme, host and port of its link.
    :param estimate: seconds that EvoLink estimates for it.
    """
    is_done = now >= job.ends_at
    head = {
        "created": job.begins // 1000,
        "id": job.generation_id,
        "model": MODEL,
        "object": "video.generation.task",
        "progress": 100 if is_done else 50,
        "status": "completed" if is_done else "processing",
        "type": "video",
    }
    usage = {"billing_rule": "per_token", "credits_reserved": 102.34, "user_group": "default"}
    if not is_done:
        return head | {"task_info": {"can_cancel": True, "estimated_time": estimate}, "usage": usage}
    link = f"{origin}/videos/2026/11/24/{job.token:x}_0.mp4"
    return head | {
        "duration": job.takes // 1000,
        "results": [link],
        "result_data": [{"url": link, "duration": 10}],
        "task_info": {"can_cancel": False},
        "usage": usage | {"credits_used": 98.7, "text_input_tokens": 57, "total_tokens": 29177},
    }


def dbt_run(job: Job, now: float) -> dict[str, Any]:
    """Return a run of a dbt Cloud job, with the fields that its API always returns."""
    is_done = now >= job.ends_at
    return {
        "status": {"code": 200, "is_success": True, "user_message": "Success!", "developer_message": ""},
        "data": {
            "id": job.token,
            "trigger_id": job.number,
            "account_id": 1,
            "environment_id": 1,
            "project_id": 1,
            "job_definition_id": 1,
            "status": DBT_SUCCESS if is_done else DBT_RUNNING,
            "status_humanized": "Success" if is_done else "Running",
            "dbt_version": "1.9.0",
            "created_at": "2026-11-24 10:00:00+00:00",
            "updated_at": "2026-11-24 10:00:10+00:00",
            "is_complete": is_done,
            "is_success": is_done,
            "is_error": False,
            "is_cancelled": False,
            "href": f"https://cloud.getdbt.com/deploy/1/projects/1/runs/{job.token}/",
        },
    }


def to_json(value: object) -> bytes:
    """Encode a body as EvoLink does: without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()


NOT_FOUND = to_json({"error": {"code": "not_found", "message": "Not found", "type": "invalid_request_error"}})
