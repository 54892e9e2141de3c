# SPDX-License-Identifier: Apache-2.0
"""Get the links of a request's media: that of a result while it lives, else by an upload, once for each content."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_evolink.api.errors import EvoLinkError, NotSentError, UnreadableInputError
from airflow_provider_evolink.api.files import OutgoingFile, upload_name
from airflow_provider_evolink.api.responses import RequestContext
from airflow_provider_evolink.api.wording import shorten
from airflow_provider_evolink.media.known_links import MARGIN_SECONDS, KnownLinks, MediaLinks, known_links
from airflow_provider_evolink.media.spool import Content, spool

if TYPE_CHECKING:
    from airflow_provider_evolink.api.client import EvoLinkClient
    from airflow_provider_evolink.api.files import UploadedFile
    from airflow_provider_evolink.api.pending_media import PendingMedia

# Files that are read and uploaded at a time.
CONCURRENCY = 8
_COST = "Nothing was submitted, nothing was charged."
_UNKNOWN_TYPE = "application/octet-stream"

Send = Callable[[OutgoingFile, RequestContext], Awaitable["UploadedFile"]]


class Uploader:
    """Upload the media of requests to one account.

    Uploads are free, so the client repeats one that fails transiently. A content that EvoLink has rejected is not sent
    again by the same uploader. It belongs to one event loop.

    :param send: uploads a file.
    :param known: links that need no upload; completed.
    :param now: returns seconds since the epoch.
    """

    def __init__(self, send: Send, known: KnownLinks, now: Callable[[], float] = time.time) -> None:
        self._send = send
        self.known = known
        self._now = now
        self._uploads: dict[str, asyncio.Future[tuple[str, float]]] = {}
        self._slots = asyncio.Semaphore(CONCURRENCY)

    @classmethod
    def of(cls, client: EvoLinkClient) -> Uploader:
        """Return an uploader that uses a client, and the links that this process knows of its account."""
        return cls(client.files.upload, known_links(client.settings))

    async def links_for(self, pending: Iterable[PendingMedia]) -> MediaLinks:
        """Return the links of media: those they have while they live, else by an upload.

        :param pending: at least one.
        :raises InvalidInputError: the content can't be read, or can't be uploaded. A retry finds the same.
        :raises ApiError: EvoLink rejects it; nothing was submitted.
        :raises EvoLinkError: it could not be read or uploaded; nothing was submitted. A retry may succeed.
        """
        by_identity = {media.identity: media for media in pending}
        found = await asyncio.gather(*map(self._link, by_identity.values()))
        links = {identity: link for identity, (link, _) in zip(by_identity, found, strict=True)}
        return MediaLinks(links, min(expires_at for _, expires_at in found))

    async def _link(self, media: PendingMedia) -> tuple[str, float]:
        now = self._now()
        known = _own_link(media, now) or self.known.get(media.identity, now=now)
        if known is not None:
            return known
        if media.open is not None:
            return await self._uploaded(media, media.open)
        raise UnreadableInputError(media.parameter, media.source, "a file or a result whose link has not expired")

    async def _uploaded(self, media: PendingMedia, open_content: Callable[[], BinaryIO]) -> tuple[str, float]:
        """Upload media, or wait for the upload that another request has begun."""
        upload = self._uploads.get(media.identity)
        if upload is None:
            upload = self._uploads[media.identity] = asyncio.ensure_future(self._upload(media, open_content))
        return await upload

    async def _upload(self, media: PendingMedia, open_content: Callable[[], BinaryIO]) -> tuple[str, float]:
        is_rejected = False
        try:
            async with self._slots:
                uploaded = await self._send_content(media, open_content)
        except EvoLinkError as error:
            # It is about a submission that was never made, not about what the task has paid for before.
            error.charged, is_rejected = False, error.permanent
            raise
        finally:
            if not is_rejected:
                del self._uploads[media.identity]
        link, expires_at = uploaded.link, uploaded.expires_at.timestamp()
        self.known.put(media.identity, link, expires_at)
        return link, expires_at

    async def _send_content(self, media: PendingMedia, open_content: Callable[[], BinaryIO]) -> UploadedFile:
        content = await asyncio.to_thread(spool, open_content, media.parameter, media.source)
        with content.stream as stream:
            _check_unchanged(media, content)
            type_ = media.content_type or _UNKNOWN_TYPE
            name = upload_name(media.source, type_)
            file = OutgoingFile(name, stream, content.size, type_, content.sha256)
            what = f"the upload of {shorten(media.source)} for `{media.parameter}`"
            return await self._send(file, RequestContext(what, _COST))


def _own_link(media: PendingMedia, now: float) -> tuple[str, float] | None:
    """Return the link of a result while it lives; where nobody knows until when, for this request only."""
    expires_at = now + MARGIN_SECONDS if media.link_expires_at is None else media.link_expires_at
    return (media.link, expires_at) if media.link is not None and expires_at > now else None


def _check_unchanged(media: PendingMedia, content: Content) -> None:
    """Refuse a content other than the one that the request was made of: its fingerprint would be another."""
    if media.sha256 in {None, content.sha256}:
        return
    if media.landed_sha256 is not None:
        allowed = "the file that landed, but another has replaced it: pass its path to send what is there now"
        raise UnreadableInputError(media.parameter, media.source, allowed)
    raise NotSentError(
        f"`{media.parameter}`={shorten(media.source)} has changed while this try was reading it. {_COST}",
        advice="A retry reads it again.",
    )
