# SPDX-License-Identifier: Apache-2.0
"""What media hosts do: serve files to anybody who knows the link, as long as it lives."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_evolink.emulator import ranges
from airflow_provider_evolink.emulator.call import Call
from airflow_provider_evolink.emulator.refusals import RefusedError


async def download(call: Call) -> Response:
    """Serve a result or an uploaded file, whole or in part."""
    path = f"/media/{call.request.path_params['path']}"
    if found := call.world.file_at(path):
        job, number = found
        if call.world.is_expired(job):
            raise RefusedError(410)
        artifact = job.order.artifacts[number]
        data = await call.studio.deliver(artifact, PurePosixPath(path).name)
        return serve(data, artifact.content_type, call.request)
    return _serve_upload(call, path)


async def download_by_id(call: Call) -> Response:
    """Serve an uploaded file by its id."""
    upload = call.world.uploads.by_id(call.request.path_params["file_id"])
    return _serve_upload(call, upload.path if upload else "")


def serve(data: bytes, content_type: str, request: Request) -> Response:
    """Build the answer with a file, or the part that was asked for.

    :param data: the whole file.
    :param content_type: of the file.
    :param request: its headers Range and If-Range are honoured.
    """
    headers = {"etag": f'"{hashlib.sha256(data).hexdigest()[:32]}"', "accept-ranges": "bytes"}
    if_range = request.headers.get("if-range")
    wanted = request.headers.get("range") if if_range in (None, headers["etag"]) else None
    try:
        part = ranges.parse(wanted, len(data))
    except ranges.UnsatisfiableRangeError:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{len(data)}"})
    if part is None:
        return Response(data, 200, headers, content_type)
    headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{len(data)}"
    return Response(data[part.start : part.stop], 206, headers, content_type)


def _serve_upload(call: Call, path: str) -> Response:
    upload = call.world.uploads.at(path)
    if upload is None:
        raise RefusedError(404)
    if datetime.now(UTC) >= upload.expires:
        raise RefusedError(410)
    return serve(upload.data, upload.mime_type, call.request)
