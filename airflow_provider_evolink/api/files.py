# SPDX-License-Identifier: Apache-2.0
"""EvoLink's files API: what is sent to it and what it returns, as types. Pure.

Uploads, their life of 72 hours and the quota are documented, for png, jpeg, webp and gif images. Audio and video, the
list, the deletion, the largest size and the error codes are known from EvoLink's own clients only.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from airflow_provider_evolink.api.errors import ApiError, InvalidInputError, InvalidResponseError
from airflow_provider_evolink.api.result_links import is_link
from airflow_provider_evolink.api.sanitize import sanitize, sentence
from airflow_provider_evolink.api.wording import megabytes

# EvoLink's own client sends no larger file (undocumented).
MAX_UPLOAD_BYTES = 95 * 2**20
# Documented: a file is deleted 72 hours after its upload.
UPLOAD_LIFE = timedelta(hours=72)
# How many files one request lists (undocumented).
PAGE_SIZE = 100

_FILE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_TOO_LARGE = "40001"
_ADVICE = {
    _TOO_LARGE: f"A retry is rejected again: a file may have up to {megabytes(MAX_UPLOAD_BYTES)} (undocumented).",
    "40002": "A retry is rejected again: it must be a png, jpeg, webp or gif image, a video or an audio file.",
    "40003": "A retry is rejected until there is room: delete files (EvoLinkHook.delete_file), or wait: they expire 72 "
    "hours after their upload (documented).",
    "40004": "A retry is rejected again unless EvoLink can download the link, without credentials.",
}


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A file to be uploaded.

    :param name: that EvoLink shows as the original one.
    :param stream: its content, which can be read again and again.
    :param size: in bytes.
    :param content_type: such as ``image/png``.
    :param sha256: of the content, in hexadecimal.
    """

    name: str
    stream: BinaryIO = field(repr=False)
    size: int
    content_type: str
    sha256: str


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that EvoLink keeps, and serves to anybody who has its link, for 72 hours (documented).

    :param link: its public URL, for parameters such as ``image_urls``.
    :param expires_at: when EvoLink deletes it, in UTC.
    :param file_id: for ``EvoLinkHook.delete_file``; ``None`` if EvoLink has not returned it.
    :param content_type: such as ``image/png``.
    :param size: in bytes.
    :param sha256: of its content, in hexadecimal; ``None`` if EvoLink has fetched it from a link.
    """

    link: str
    expires_at: datetime
    file_id: str | None
    content_type: str | None
    size: int | None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the account, as the list has it (undocumented).

    :param file_id: for ``EvoLinkHook.delete_file``.
    :param name: that it is stored under.
    :param size: in bytes; ``None`` if EvoLink has not returned it.
    :param uploaded_at: in UTC; ``None`` if EvoLink has not returned it.
    """

    file_id: str
    name: str
    size: int | None = None
    uploaded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FileQuota:
    """How many files the account stores and may store: 2,000 by default (documented). All as EvoLink reports them."""

    used_files: int
    max_files: int
    remaining_files: int


def upload_name(source: str, content_type: str) -> str:
    """Return a name for a file that is uploaded: the last part of its path, with an extension.

    :param source: a path, a URI, or any text.
    :param content_type: such as ``image/png``.
    """
    name = source.rstrip("/").rpartition("/")[2] or "upload"
    extension = mimetypes.guess_extension(content_type) or f".{content_type.partition('/')[2]}"
    return name if PurePosixPath(name).suffix else f"{name}{extension}"


def check_file_id(file_id: object) -> str:
    """Return an id that is safe in a path.

    :raises InvalidInputError: it can't be one.
    """
    if not isinstance(file_id, str) or not _FILE_ID.fullmatch(file_id):
        raise InvalidInputError("file_id", file_id, "the id of an uploaded file, such as file_abc123")
    return file_id


def parse_uploaded(body: object, file: OutgoingFile | None, *, now: datetime) -> UploadedFile:
    """Parse the response to an upload.

    :param file: that was sent; ``None`` if EvoLink has fetched it from a link.
    :param now: for a response that does not say when the file expires.
    :raises InvalidResponseError: it has no link.
    """
    data = _data(body)
    link, file_id = data.get("file_url"), data.get("file_id")
    if not isinstance(link, str) or not is_link(link):
        reason = (sanitize(body.get("msg"), "") if isinstance(body, Mapping) else None) or "no reason given"
        raise InvalidResponseError(sentence(f"EvoLink's response to the upload has no link: {reason}"))
    return UploadedFile(
        link=link,
        expires_at=_time(data.get("expires_at")) or now + UPLOAD_LIFE,
        file_id=file_id if isinstance(file_id, str) and _FILE_ID.fullmatch(file_id) else None,
        content_type=file.content_type if file else sanitize(data.get("mime_type"), "") or None,
        size=file.size if file else _count(data.get("file_size")),
        sha256=file.sha256 if file else None,
    )


def parse_list(body: object) -> list[StoredFile]:
    """Parse one page of the list of files, without entries that have no usable id.

    :raises InvalidResponseError: it has no list.
    """
    entries = _data(body).get("files")
    if not isinstance(entries, list):
        raise InvalidResponseError("EvoLink's response has no list of files.")
    return [_stored_file(entry) for entry in entries if isinstance(entry, Mapping) and _has_id(entry)]


def parse_quota(body: object) -> FileQuota:
    """Parse the file quota.

    :raises InvalidResponseError: a number is missing.
    """
    data = _data(body)
    counts = [_count(data.get(name)) for name in ("used_files", "max_files", "remain_files")]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        raise InvalidResponseError("EvoLink's response has no file quota.")
    return FileQuota(*known)


def explain(error: ApiError) -> None:
    """Replace the advice of an error by what helps against this rejection of the files API, where that is known."""
    advice = _ADVICE.get(_TOO_LARGE if error.status == 413 else error.code or "")
    if advice is not None:
        error.advice = advice
        error.args = (f"{error.facts} {advice}",)


def _stored_file(entry: Mapping[str, Any]) -> StoredFile:
    name, uploaded_at = sanitize(entry.get("file_name"), ""), _time(entry.get("upload_time"))
    return StoredFile(entry["file_id"], name or "", _count(entry.get("file_size")), uploaded_at)


def _has_id(entry: Mapping[str, Any]) -> bool:
    file_id = entry.get("file_id")
    return isinstance(file_id, str) and _FILE_ID.fullmatch(file_id) is not None


def _data(body: object) -> Mapping[str, Any]:
    data = body.get("data") if isinstance(body, Mapping) and body.get("success") is not False else None
    return data if isinstance(data, Mapping) else {}


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15
    return value if is_count else None  # type: ignore[return-value]


def _time(value: object) -> datetime | None:
    """Parse ISO 8601; a time without its zone says nothing, so close to the end of a link's life."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if time is None or time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
