# SPDX-License-Identifier: Apache-2.0
"""What media hosts do: serve files to anybody who knows the link, as long as it lives."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_evolink.emulator import ranges
from airflow_provider_evolink.emulator.call import Call
from airflow_provider_evolink.emulator.refusals import RefusedError

_BY_ID = "/api/v1/files/download/"


async def download(call: Call) -> Response:
    """Serve a result or an uploaded file, whole or in part."""
    data, content_type = await _file_at(call, f"/media/{call.request.path_params['path']}")
    return serve(data, content_type, call.request)


async def download_by_id(call: Call) -> Response:
    """Serve an uploaded file by its id."""
    data, content_type = _upload_at(call, _path_of_id(call, call.request.path_params["file_id"]))
    return serve(data, content_type, call.request)


async def fetch_own(call: Call, url: str) -> bytes | None:
    """Follow a link that a submission holds, as EvoLink does.

    :param url: any link.
    :return: the file behind a link to the emulator itself, empty if it is dead or never was; None for other links.
    """
    if not url.startswith(f"{call.origin}/"):
        return None
    path = unquote(urlsplit(url).path)
    if path.startswith(_BY_ID):
        path = _path_of_id(call, path.removeprefix(_BY_ID))
    try:
        return (await _file_at(call, path))[0]
    except RefusedError:
        return b""


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


async def _file_at(call: Call, path: str) -> tuple[bytes, str]:
    found = call.world.file_at(path)
    if found is None:
        return _upload_at(call, path)
    job, number = found
    if call.world.is_expired(job):
        raise RefusedError(410)
    artifact = job.order.artifacts[number]
    return await call.studio.deliver(artifact, PurePosixPath(path).name), artifact.content_type


def _path_of_id(call: Call, file_id: str) -> str:
    upload = call.world.uploads.by_id(file_id)
    return upload.path if upload else ""


def _upload_at(call: Call, path: str) -> tuple[bytes, str]:
    upload = call.world.uploads.at(path)
    if upload is None:
        raise RefusedError(404)
    if datetime.now(UTC) >= upload.expires:
        raise RefusedError(410)
    return upload.data, upload.mime_type
