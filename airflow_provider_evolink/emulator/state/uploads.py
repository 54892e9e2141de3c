# SPDX-License-Identifier: Apache-2.0
"""Uploaded files: what is stored, under which path, until when."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from airflow_provider_evolink.emulator.state.clock import Clock

UPLOAD_TTL = timedelta(hours=72)
MAX_FILES = 2000
MAX_BYTES = 100 * 2**20  # undocumented; from EvoLink's clients


@dataclass(frozen=True)
class Upload:
    """One uploaded file.

    :param id: ``file_``, a digest and a number.
    :param data: its content.
    :param mime_type: media type of the content.
    :param folder: folder that the client chose, else one by media type.
    :param name: file name it is stored under.
    :param original_name: file name it was sent with.
    :param uploaded_at: time of the upload.
    :param stored_at: the same moment in emulated seconds since the start.
    """

    id: str
    data: bytes
    mime_type: str
    folder: str
    name: str
    original_name: str
    uploaded_at: datetime
    stored_at: float

    @property
    def path(self) -> str:
        """Path that it is served at."""
        return f"/media/uploads/{self.folder}/{self.name}"

    def list_entry(self) -> dict[str, Any]:
        """Return its entry in the list of files (undocumented; the fields that EvoLink's own clients read)."""
        return {
            "file_id": self.id,
            "file_name": self.name,
            "file_size": len(self.data),
            "upload_time": self.uploaded_at.isoformat(timespec="seconds"),
        }

    def describe(self, origin: str, ttl: timedelta) -> dict[str, Any]:
        """Return the documented ``data`` of a response to an upload.

        :param origin: scheme, host and port that the client uses for the emulator.
        :param ttl: lifetime of its links.
        """
        return {
            **self.list_entry(),
            "original_name": self.original_name,
            "mime_type": self.mime_type,
            "upload_path": self.folder,
            "file_url": origin + quote(self.path),
            "download_url": f"{origin}/api/v1/files/download/{self.id}",
            "expires_at": (self.uploaded_at + ttl).isoformat(timespec="seconds"),
        }


class Uploads:
    """The uploaded files of an account, until they expire. A file with the same path replaces the older one.

    :param clock: emulated time; lifetimes are in real seconds at its present speed, like those of result links.
    """

    def __init__(self, clock: Clock) -> None:
        self.ttl = UPLOAD_TTL
        self._clock = clock
        self._count = 0
        self._files: dict[str, Upload] = {}

    def __len__(self) -> int:
        """Return the number of files that have not expired."""
        return len(self.newest_first())

    def add(
        self, data: bytes, mime_type: str, extension: str, folder: str = "", name: str = "", original_name: str = ""
    ) -> Upload:
        """Store a file.

        :param data: its content.
        :param mime_type: media type of the content.
        :param extension: usual file name extension of the media type, without the dot.
        :param folder: path of the folder; empty for one by media type.
        :param name: file name to store it under; empty for a unique one.
        :param original_name: file name it was sent with.
        """
        self._count += 1
        unique = f"{hashlib.sha256(data).hexdigest()[:12]}{self._count:04d}"
        upload = Upload(
            id=f"file_{unique}",
            data=data,
            mime_type=mime_type,
            folder="/".join(_segments(folder)) or f"{mime_type.partition('/')[0]}s",
            name="_".join(_segments(name)) or f"{unique}.{extension}",
            original_name=original_name,
            uploaded_at=datetime.now(UTC),
            stored_at=self._clock.now(),
        )
        self._files.pop(upload.path, None)
        self._files[upload.path] = upload
        return upload

    def remove(self, file_id: str) -> bool:
        """Delete a file.

        :return: whether there was one with this id.
        """
        upload = self.find_by_id(file_id)
        return upload is not None and self._files.pop(upload.path, None) is not None

    def find_by_path(self, path: str) -> Upload | None:
        """Return the file served at a path; None if there is none, or it has expired."""
        upload = self._files.get(path)
        return upload if upload and self._is_alive(upload) else None

    def find_by_id(self, file_id: str) -> Upload | None:
        """Return the file with an id; None if there is none, or it has expired."""
        return next((upload for upload in self.newest_first() if upload.id == file_id), None)

    def newest_first(self) -> list[Upload]:
        """Return all files that have not expired."""
        return [upload for upload in reversed(self._files.values()) if self._is_alive(upload)]

    def describe(self) -> list[dict[str, Any]]:
        """Return all files that have not expired as JSON values, oldest first."""
        return [upload.describe("", self.ttl) for upload in reversed(self.newest_first())]

    def _is_alive(self, upload: Upload) -> bool:
        return self._clock.real_seconds_since(upload.stored_at) < self.ttl.total_seconds()


def _segments(path: str) -> list[str]:
    """Split a path into segments.

    What HTTP clients normalize away or reject is left out: ``.``, ``..`` and unprintable characters.
    """
    printable = "".join(char for char in path if char.isprintable())
    return [segment for segment in printable.split("/") if segment not in ("", ".", "..")]
