# SPDX-License-Identifier: Apache-2.0
"""The files API (documented): uploads, and how many more there may be. At EvoLink it has a host of its own."""

from __future__ import annotations

import base64
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from airflow_provider_evolink.emulator.answers import USER_GROUP
from airflow_provider_evolink.emulator.bodies import read_json
from airflow_provider_evolink.emulator.call import Call
from airflow_provider_evolink.emulator.refusals import RefusedError
from airflow_provider_evolink.emulator.uploads import MOST_FILES
from airflow_provider_evolink.landing.uploads import upload_type

# codes as EvoLink's own clients know them
_BAD_TYPE, _NO_QUOTA = 40002, 40003


async def upload_base64(call: Call) -> Response:
    """Store a file sent as base64 or data URL."""
    try:
        fields = _object_of_texts(read_json(await call.request.body()))
        text = fields["base64_data"]
        data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (ValueError, KeyError):
        raise RefusedError(400, msg="base64_data must be base64 or a data URL") from None
    return _store(call, data, fields, original_name="")


async def upload_stream(call: Call) -> Response:
    """Store a file sent as a multipart form."""
    try:
        async with call.request.form() as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise RefusedError(400, msg="file is required")
            return _store(call, await file.read(), _texts(form), original_name=file.filename or "")
    except (HTTPException, FormParserError) as error:  # starlette 1.0 lets the parser's own errors through
        raise RefusedError(400, msg=getattr(error, "detail", str(error))) from None


async def quota(call: Call) -> Response:
    """Tell how many files there are, and may be."""
    used = len(call.world.uploads)
    data = {
        "user_group": USER_GROUP,
        "used_files": used,
        "max_files": MOST_FILES,
        "remain_files": MOST_FILES - used,
        "is_custom": False,
        "quota_reason": "",
    }
    return JSONResponse({"success": True, "code": 200, "data": data})


def _store(call: Call, data: bytes, fields: dict[str, Any], original_name: str) -> Response:
    mime_type = upload_type(data)
    if mime_type is None:
        raise RefusedError(
            400, code=_BAD_TYPE, msg="Only image/jpeg, image/png, image/gif, image/webp, audio and video are supported"
        )
    if len(call.world.uploads) >= MOST_FILES:
        raise RefusedError(400, code=_NO_QUOTA, msg="File quota exhausted")
    folder = str(fields.get("upload_path") or fields.get("uploadPath") or "")
    name = str(fields.get("file_name") or fields.get("fileName") or "")
    upload = call.world.uploads.add(data, mime_type, folder, name, original_name or name)
    stored = upload.describe(call.origin)
    return JSONResponse({"success": True, "code": 200, "msg": "File uploaded successfully", "data": stored})


def _object_of_texts(value: object) -> dict[str, Any]:
    fields = value if isinstance(value, dict) else {}
    if not all(isinstance(fields.get(name, ""), str) for name in ("base64_data", "upload_path", "file_name")):
        raise ValueError("a field is no text")
    return fields


def _texts(form: FormData) -> dict[str, Any]:
    return {name: value for name, value in form.items() if isinstance(value, str)}
