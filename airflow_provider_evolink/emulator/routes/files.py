# SPDX-License-Identifier: Apache-2.0
"""The files API: uploads and their quota (documented); list and deletion (from EvoLink's clients).

At EvoLink it has a host of its own. Audio and video are undocumented; EvoLink's clients upload them, too.
"""

from __future__ import annotations

import base64
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from airflow_provider_evolink.emulator.errors import ApiError
from airflow_provider_evolink.emulator.routes import linked_files, paging
from airflow_provider_evolink.emulator.routes.context import RequestContext
from airflow_provider_evolink.emulator.routes.request_body import parse_json
from airflow_provider_evolink.emulator.routes.responses import USER_GROUP
from airflow_provider_evolink.emulator.state.uploads import MAX_BYTES, MAX_FILES
from airflow_provider_evolink.landing.media_types import HEAD_BYTES, identify
from airflow_provider_evolink.landing.uploads import upload_type

MAX_PAGE_SIZE = 100
# Error codes known from EvoLink's own clients.
_TOO_LARGE, _UNSUPPORTED_TYPE, _QUOTA_EXHAUSTED, _DOWNLOAD_FAILED = 40001, 40002, 40003, 40004


async def upload_base64(context: RequestContext) -> Response:
    """Store a file sent as base64 or as a data URL."""
    fields = await _json_fields(context, "base64_data")
    text = fields["base64_data"]
    try:
        data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except ValueError:
        raise ApiError(400, msg="base64_data must be base64 or a data URL") from None
    return _store(context, data, fields, original_name="")


async def upload_url(context: RequestContext) -> Response:
    """Store the file behind a link; what the emulator finds there is described in ``linked_files``."""
    fields = await _json_fields(context, "file_url")
    url = fields["file_url"]
    try:
        data = await linked_files.fetch(context, url)
    except ValueError:  # a malformed link
        data = None
    if data is None:
        raise ApiError(400, code=_DOWNLOAD_FAILED, msg=f"Failed to download file from URL: {url[:200]}")
    return _store(context, data, fields, original_name=url.partition("?")[0].rpartition("/")[2])


async def upload_stream(context: RequestContext) -> Response:
    """Store a file sent as a multipart form."""
    try:
        async with context.request.form() as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise ApiError(400, msg="file is required")
            return _store(context, await file.read(), _form_fields(form), original_name=file.filename or "")
    except (HTTPException, FormParserError) as error:  # Starlette 1.0 does not wrap the parser's own errors
        raise ApiError(400, msg=getattr(error, "detail", str(error))) from None


async def list_files(context: RequestContext) -> Response:
    """List the files that have not expired, newest first (undocumented; from EvoLink's clients)."""
    files, query = context.backend.uploads.newest_first(), context.request.query_params
    page, size = paging.page_of(query, "pageSize", MAX_PAGE_SIZE)
    entries = [upload.list_entry() for upload in paging.select(files, page, size)]
    return _success({"total": len(files), "files": entries})


async def delete_file(context: RequestContext) -> Response:
    """Delete a file (undocumented; from EvoLink's clients)."""
    if not context.backend.uploads.remove(context.request.path_params["file_id"]):
        raise ApiError(404, msg="File not found")
    return _success(None, "File deleted successfully")


async def get_quota(context: RequestContext) -> Response:
    """Return how many files are stored, and how many are allowed."""
    used = len(context.backend.uploads)
    data = {
        "user_group": USER_GROUP,
        "used_files": used,
        "max_files": MAX_FILES,
        "remain_files": MAX_FILES - used,
        "is_custom": False,
        "quota_reason": "",
    }
    return _success(data)


def _store(context: RequestContext, data: bytes, fields: dict[str, Any], original_name: str) -> Response:
    uploads = context.backend.uploads
    mime_type, identified = upload_type(data), identify(data[:HEAD_BYTES], None)
    if mime_type is None or identified is None:
        message = "Only image/jpeg, image/png, image/gif, image/webp, audio and video are supported"
        raise ApiError(400, code=_UNSUPPORTED_TYPE, msg=message)
    if len(data) > MAX_BYTES:
        raise ApiError(400, code=_TOO_LARGE, msg="File size must not exceed 100 MB")
    if len(uploads) >= MAX_FILES:
        raise ApiError(400, code=_QUOTA_EXHAUSTED, msg="File quota exhausted")
    folder = str(fields.get("upload_path") or fields.get("uploadPath") or "")
    name = str(fields.get("file_name") or fields.get("fileName") or "")
    upload = uploads.add(data, mime_type, identified.extension, folder, name, original_name or name)
    return _success(upload.describe(context.origin, uploads.ttl), "File uploaded successfully")


def _success(data: object, message: str | None = None) -> Response:
    message_field = {} if message is None else {"msg": message}
    data_field = {} if data is None else {"data": data}
    return JSONResponse({"success": True, "code": 200, **message_field, **data_field})


async def _json_fields(context: RequestContext, required: str) -> dict[str, Any]:
    """Return the fields of a JSON body, all of which must be strings."""
    try:
        fields = parse_json(await context.request.body())
    except ValueError:
        fields = None
    names = (required, "upload_path", "file_name")
    if not isinstance(fields, dict) or not all(isinstance(fields.get(name, ""), str) for name in names):
        raise ApiError(400, msg="The body must be a JSON object whose fields are strings")
    if required not in fields:
        raise ApiError(400, msg=f"{required} is required")
    return fields


def _form_fields(form: FormData) -> dict[str, Any]:
    return {name: value for name, value in form.items() if isinstance(value, str)}
