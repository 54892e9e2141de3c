# SPDX-License-Identifier: Apache-2.0
"""The files API (documented): uploads and their quota. At EvoLink it has a host of its own."""

from __future__ import annotations

import base64
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from airflow_provider_evolink.emulator.errors import ApiError
from airflow_provider_evolink.emulator.routes.context import RequestContext
from airflow_provider_evolink.emulator.routes.request_body import parse_json
from airflow_provider_evolink.emulator.routes.responses import USER_GROUP
from airflow_provider_evolink.emulator.state.uploads import MAX_FILES
from airflow_provider_evolink.landing.uploads import upload_type

# Error codes known from EvoLink's own clients.
_UNSUPPORTED_TYPE, _QUOTA_EXHAUSTED = 40002, 40003


async def upload_base64(context: RequestContext) -> Response:
    """Store a file sent as base64 or as a data URL."""
    try:
        fields = _string_fields(parse_json(await context.request.body()))
        text = fields["base64_data"]
        data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (ValueError, KeyError):
        raise ApiError(400, msg="base64_data must be base64 or a data URL") from None
    return _store(context, data, fields, original_name="")


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
    return JSONResponse({"success": True, "code": 200, "data": data})


def _store(context: RequestContext, data: bytes, fields: dict[str, Any], original_name: str) -> Response:
    mime_type = upload_type(data)
    if mime_type is None:
        message = "Only image/jpeg, image/png, image/gif, image/webp, audio and video are supported"
        raise ApiError(400, code=_UNSUPPORTED_TYPE, msg=message)
    if len(context.backend.uploads) >= MAX_FILES:
        raise ApiError(400, code=_QUOTA_EXHAUSTED, msg="File quota exhausted")
    folder = str(fields.get("upload_path") or fields.get("uploadPath") or "")
    name = str(fields.get("file_name") or fields.get("fileName") or "")
    upload = context.backend.uploads.add(data, mime_type, folder, name, original_name or name)
    stored = upload.describe(context.origin)
    return JSONResponse({"success": True, "code": 200, "msg": "File uploaded successfully", "data": stored})


def _string_fields(value: object) -> dict[str, Any]:
    fields = value if isinstance(value, dict) else {}
    if not all(isinstance(fields.get(name, ""), str) for name in ("base64_data", "upload_path", "file_name")):
        raise ValueError("a field is not a string")
    return fields


def _form_fields(form: FormData) -> dict[str, Any]:
    return {name: value for name, value in form.items() if isinstance(value, str)}
