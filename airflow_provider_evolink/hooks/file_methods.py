# SPDX-License-Identifier: Apache-2.0
"""The methods of the hook that upload files to EvoLink, and list and delete what it keeps. All are free."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_evolink.api.addresses import check_public_url

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_evolink.api.client import EvoLinkClient
    from airflow_provider_evolink.api.files import FileQuota, StoredFile, UploadedFile
    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.api.settings import Settings

T = TypeVar("T")


class FileMethods:
    """Upload files, get links for what a request needs, and manage the files that EvoLink keeps."""

    def upload(
        self, source: str | os.PathLike[str] | ObjectStoragePath | bytes, *, content_type: str | None = None
    ) -> UploadedFile:
        """Upload a file, which EvoLink serves to anybody who has the link, for 72 hours (documented); free.

        An upload that fails transiently is attempted up to four times; a call that is repeated uploads again.

        :param source: a local path, a storage URI such as ``s3://conn_id@bucket/key``, an ``ObjectStoragePath``, the
            content as bytes, or a public http or https link, which EvoLink fetches. png, jpeg, webp and gif images
            are documented; EvoLink's own clients upload video and audio too, and nothing larger than 95 MB.
        :param content_type: such as ``audio/wav``; ``None`` = by its content, not by its name. Not of a link.
        :return: its ``link``, ``expires_at``, ``file_id``, ``content_type``, ``size`` and ``sha256``.
        :raises InvalidInputError: it can't be read, has another type, is empty or too large; nothing was sent.
        :raises BadRequestError: EvoLink rejects it, or stores as many files as it may. A retry is rejected again.
        :raises EvoLinkError: it could not be read or uploaded. A retry may succeed.
        """
        from airflow_provider_evolink.api.media import looks_like_url
        from airflow_provider_evolink.hooks.upload_source import outgoing_file

        if isinstance(source, str) and looks_like_url(source):
            return self._upload_link(source.strip())
        with outgoing_file(source, content_type) as file:
            return self._run(lambda client: client.files.upload(file))

    def _upload_link(self, link: str) -> UploadedFile:
        check_public_url(link, parameter="source", schemes=("http", "https"), allow_loopback=self.settings.is_loopback)
        return self._run(lambda client: client.files.upload_link(link))

    def media_links(self, request: GenerationRequest) -> dict[str, str]:
        """Upload the media of a request that EvoLink needs as links; free.

        A file is uploaded once in a process, until an hour before its link dies.

        :param request: made by :meth:`prepare`.
        :return: the links by the identity of the media, for ``request.with_links``; empty if it needs none.
        :raises InvalidInputError: a file can't be read or uploaded any more. A retry finds the same.
        :raises EvoLinkError: a file could not be read or uploaded; nothing was charged.
        """
        if not request.pending_media:
            return {}
        from airflow_provider_evolink.media.uploader import Uploader

        return self._run(lambda client: Uploader.of(client).links_for(request.pending_media)).links

    def list_files(self) -> list[StoredFile]:
        """List the files that EvoLink keeps for the account, newest first (undocumented; from EvoLink's clients); free.

        :return: each with ``file_id``, ``name``, ``size`` and ``uploaded_at``.
        """
        return self._run(lambda client: client.files.list())

    def delete_file(self, file_id: str) -> bool:
        """Delete an uploaded file, whose link dies with it (undocumented; from EvoLink's clients); free.

        :return: whether EvoLink had it. A call that is repeated finds nothing, and is no error.
        :raises InvalidInputError: a malformed id; nothing was sent.
        """
        from airflow_provider_evolink.media.known_links import known_links

        was_there = self._run(lambda client: client.files.delete(file_id))
        # Which of the links has died with it is unknown.
        known_links(self.settings).forget_all()
        return was_there

    def quota(self) -> FileQuota:
        """Read how many files the account stores and may store, 2,000 by default (documented); free.

        :return: ``used_files``, ``max_files`` and ``remaining_files``, as EvoLink reports them.
        """
        return self._run(lambda client: client.files.quota())

    @property
    def settings(self) -> Settings:
        """The connection's settings."""
        raise NotImplementedError

    def _run(self, operation: Callable[[EvoLinkClient], Coroutine[Any, Any, T]]) -> T:
        """Carry an operation out with a client of the account."""
        raise NotImplementedError
