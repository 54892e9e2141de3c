# SPDX-License-Identifier: Apache-2.0
"""The media host: serves files to anyone who has the link, until the link expires."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_evolink.emulator.errors import ApiError
from airflow_provider_evolink.emulator.routes.context import RequestContext
from airflow_provider_evolink.media import byte_ranges

_BY_ID = "/api/v1/files/download/"


async def download(context: RequestContext) -> Response:
    """Serve a result or an uploaded file, whole or in part."""
    data, content_type = await _load_file(context, f"/media/{context.request.path_params['path']}")
    return serve(data, content_type, context.request)


async def download_by_id(context: RequestContext) -> Response:
    """Serve an uploaded file by its id."""
    data, content_type = _load_upload(context, _path_of(context, context.request.path_params["file_id"]))
    return serve(data, content_type, context.request)


async def fetch_own_link(context: RequestContext, url: str) -> bytes | None:
    """Fetch a link in a submission, as EvoLink does.

    :param url: any link.
    :return: the content behind a link to the emulator itself, empty if the link is dead; None for other links.
    """
    if not url.startswith(f"{context.origin}/"):
        return None
    path = unquote(urlsplit(url).path)
    if path.startswith(_BY_ID):
        path = _path_of(context, path.removeprefix(_BY_ID))
    try:
        return (await _load_file(context, path))[0]
    except ApiError:
        return b""


def serve(data: bytes, content_type: str, request: Request) -> Response:
    """Build the response with a file, or with the requested part of it.

    :param data: the whole file.
    :param content_type: media type of the file.
    :param request: its headers ``Range`` and ``If-Range`` are honored.
    """
    headers = {"etag": f'"{hashlib.sha256(data).hexdigest()[:32]}"', "accept-ranges": "bytes"}
    if_range = request.headers.get("if-range")
    range_header = request.headers.get("range") if if_range in (None, headers["etag"]) else None
    try:
        part = byte_ranges.parse_range(range_header, len(data))
    except byte_ranges.UnsatisfiableRangeError:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{len(data)}"})
    if part is None:
        return Response(data, 200, headers, content_type)
    headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{len(data)}"
    return Response(data[part.start : part.stop], 206, headers, content_type)


async def _load_file(context: RequestContext, path: str) -> tuple[bytes, str]:
    found = context.backend.find_file(path)
    if found is None:
        return _load_upload(context, path)
    generation, index = found
    if context.backend.is_expired(generation):
        raise ApiError(410)
    artifact = generation.spec.artifacts[index]
    return await context.renderer.render(artifact, PurePosixPath(path).name), artifact.content_type


def _path_of(context: RequestContext, file_id: str) -> str:
    upload = context.backend.uploads.find_by_id(file_id)
    return upload.path if upload else ""


def _load_upload(context: RequestContext, path: str) -> tuple[bytes, str]:
    upload = context.backend.uploads.find_by_path(path)
    if upload is None:
        raise ApiError(404)
    return upload.data, upload.mime_type
