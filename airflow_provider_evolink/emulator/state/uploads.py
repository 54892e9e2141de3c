# SPDX-License-Identifier: Apache-2.0
"""Uploaded files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

UPLOAD_TTL = timedelta(hours=72)
MAX_FILES = 2000


@dataclass(frozen=True)
class Upload:
    """One uploaded file.

    :param id: ``file_`` and a digest.
    :param data: its content.
    :param mime_type: media type of the content.
    :param folder: folder that the client chose, else one by media type.
    :param name: file name it is stored under.
    :param original_name: file name it was sent with.
    :param uploaded_at: time of the upload.
    """

    id: str
    data: bytes
    mime_type: str
    folder: str
    name: str
    original_name: str
    uploaded_at: datetime

    @property
    def path(self) -> str:
        """Path that it is served at."""
        return f"/media/uploads/{self.folder}/{self.name}"

    @property
    def expires_at(self) -> datetime:
        """Time at which its links expire."""
        return self.uploaded_at + UPLOAD_TTL

    def describe(self, origin: str) -> dict[str, Any]:
        """Return the documented ``data`` of a response to an upload.

        :param origin: scheme, host and port that the client uses for the emulator.
        """
        return {
            "file_id": self.id,
            "file_name": self.name,
            "original_name": self.original_name,
            "file_size": len(self.data),
            "mime_type": self.mime_type,
            "upload_path": self.folder,
            "file_url": origin + quote(self.path),
            "download_url": f"{origin}/api/v1/files/download/{self.id}",
            "upload_time": self.uploaded_at.isoformat(timespec="seconds"),
            "expires_at": self.expires_at.isoformat(timespec="seconds"),
        }


class Uploads:
    """All uploaded files by path. A file with the same path replaces the older one."""

    def __init__(self) -> None:
        self._files: dict[str, Upload] = {}

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._files)

    def add(self, data: bytes, mime_type: str, folder: str, name: str, original_name: str) -> Upload:
        """Store a file.

        :param data: its content.
        :param mime_type: media type of the content.
        :param folder: path of the folder; empty for one by media type.
        :param name: file name to store it under; empty for one by content.
        :param original_name: file name it was sent with.
        """
        digest = hashlib.sha256(data).hexdigest()
        kind, _, subtype = mime_type.partition("/")
        upload = Upload(
            id=f"file_{digest[:12]}{len(self._files):04d}",
            data=data,
            mime_type=mime_type,
            folder="/".join(_segments(folder)) or f"{kind}s",
            name="_".join(_segments(name)) or f"{digest[:16]}.{subtype}",
            original_name=original_name,
            uploaded_at=datetime.now(UTC),
        )
        self._files[upload.path] = upload
        return upload

    def find_by_path(self, path: str) -> Upload | None:
        """Return the file served at a path; None if there is none."""
        return self._files.get(path)

    def find_by_id(self, file_id: str) -> Upload | None:
        """Return the file with an id; None if there is none."""
        return next((upload for upload in self._files.values() if upload.id == file_id), None)

    def describe(self) -> list[dict[str, Any]]:
        """Return all files as JSON values."""
        return [upload.describe("") for upload in self._files.values()]


def _segments(path: str) -> list[str]:
    """Split a path into segments.

    What HTTP clients normalize away or reject is left out: ``.``, ``..`` and unprintable characters.
    """
    printable = "".join(char for char in path if char.isprintable())
    return [segment for segment in printable.split("/") if segment not in ("", ".", "..")]
