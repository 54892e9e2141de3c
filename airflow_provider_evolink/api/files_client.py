# SPDX-License-Identifier: Apache-2.0
"""The endpoints of EvoLink's files API, which has a host of its own. All of them are free."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from airflow_provider_evolink.api import files
from airflow_provider_evolink.api.errors import ApiError
from airflow_provider_evolink.api.files import PAGE_SIZE, FileQuota, OutgoingFile, StoredFile, UploadedFile
from airflow_provider_evolink.api.responses import RequestContext, completing_errors
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transports.base import ApiRequest

T = TypeVar("T")

# EvoLink's own client waits as long.
_UPLOAD_READ_TIMEOUT = 120.0
# Ten times as many files as an account may store by default.
_MAX_PAGES = 200
_UPLOAD = RequestContext("the upload", "Uploads are free.")


class FilesClient:
    """Call the files API of one account.

    :param settings: its host and timeouts.
    :param exchange: sends a request, again if it fails transiently, and returns the JSON value of the response.
    """

    def __init__(self, settings: Settings, exchange: Callable[[ApiRequest], Awaitable[Any]]) -> None:
        self._settings = settings
        self._exchange = exchange

    async def upload(self, file: OutgoingFile, context: RequestContext = _UPLOAD) -> UploadedFile:
        """Upload a file, which EvoLink keeps for 72 hours (documented).

        :param context: what the upload is for, to describe its failure.
        :raises BadRequestError: EvoLink rejects the file, or stores too many already. A retry is rejected again.
        :raises EvoLinkError: it could not be uploaded. A retry may succeed.
        """
        request = self._request("POST", "upload/stream", context, file=file, read_timeout=_UPLOAD_READ_TIMEOUT)
        return await self._call(request, lambda body: files.parse_uploaded(body, file, now=datetime.now(UTC)))

    async def upload_link(self, link: str) -> UploadedFile:
        """Have EvoLink fetch a public http or https link and keep the file for 72 hours (documented).

        :raises BadRequestError: EvoLink can't download it, or rejects the file. A retry is rejected again.
        :raises EvoLinkError: it could not be uploaded. A retry may succeed.
        """
        request = self._request(
            "POST",
            "upload/url",
            _UPLOAD,
            content=json.dumps({"file_url": link}).encode(),
            headers={"Content-Type": "application/json"},
            read_timeout=_UPLOAD_READ_TIMEOUT,
        )
        return await self._call(request, lambda body: files.parse_uploaded(body, None, now=datetime.now(UTC)))

    async def list(self) -> list[StoredFile]:
        """List the account's files (undocumented; from EvoLink's clients)."""
        context = RequestContext("the request for the list of files", "Reads are free.")
        found: dict[str, StoredFile] = {}
        for page in range(1, _MAX_PAGES + 1):
            request = self._request("GET", f"list?page={page}&pageSize={PAGE_SIZE}", context)
            stored = await self._call(request, files.parse_list)
            found.update((file.file_id, file) for file in stored)
            if not stored:
                break
        return [*found.values()]

    async def delete(self, file_id: str) -> bool:
        """Delete a file (undocumented; from EvoLink's clients).

        :return: false if EvoLink does not have it, or no longer.
        :raises InvalidInputError: a malformed id; nothing was sent.
        """
        path = quote(files.check_file_id(file_id))
        request = self._request("DELETE", path, RequestContext("the deletion of a file", "Deletions are free."))
        try:
            await self._call(request, lambda _: None)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    async def quota(self) -> FileQuota:
        """Read how many files the account stores and may store (documented)."""
        request = self._request("GET", "quota", RequestContext("the request for the file quota", "Reads are free."))
        return await self._call(request, files.parse_quota)

    def _request(self, method: str, path: str, context: RequestContext, **options: Any) -> ApiRequest:
        url = f"{self._settings.files_url}/api/v1/files/{path}"
        return ApiRequest(method, url, context, **{"read_timeout": self._settings.timeout, **options})

    async def _call(self, request: ApiRequest, parse: Callable[[Any], T]) -> T:
        try:
            body = await self._exchange(request)
        except ApiError as error:
            files.explain(error)
            raise
        with completing_errors(request.context):
            return parse(body)
