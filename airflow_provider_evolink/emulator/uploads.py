# SPDX-License-Identifier: Apache-2.0
"""The files that clients uploaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

LIFE = timedelta(hours=72)
MOST_FILES = 2000


@dataclass(frozen=True)
class Upload:
    """One uploaded file.

    :param id: `file_…`.
    :param data: its bytes.
    :param mime_type: what the bytes are.
    :param folder: chosen by the client, or by the kind of file.
    :param name: as stored.
    :param original_name: as sent.
    :param uploaded: when.
    """

    id: str
    data: bytes
    mime_type: str
    folder: str
    name: str
    original_name: str
    uploaded: datetime

    @property
    def path(self) -> str:
        """Where it is served."""
        return f"/media/uploads/{self.folder}/{self.name}"

    @property
    def expires(self) -> datetime:
        """When its links die."""
        return self.uploaded + LIFE

    def describe(self, origin: str) -> dict[str, Any]:
        """Return the documented `data` of an upload's answer.

        :param origin: scheme, host and port under which the client knows the emulator.
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
            "upload_time": self.uploaded.isoformat(timespec="seconds"),
            "expires_at": self.expires.isoformat(timespec="seconds"),
        }


class Uploads:
    """All uploaded files, by the path they are served at. The same name replaces the old file."""

    def __init__(self) -> None:
        self._files: dict[str, Upload] = {}

    def __len__(self) -> int:
        """Return how many files there are."""
        return len(self._files)

    def add(self, data: bytes, mime_type: str, folder: str, name: str, original_name: str) -> Upload:
        """Store a file.

        :param data: its bytes.
        :param mime_type: what the bytes are.
        :param folder: path of the folder; empty for one by the kind of file.
        :param name: its name; empty for one by its content.
        :param original_name: the name it was sent with.
        """
        digest = hashlib.sha256(data).hexdigest()
        kind, _, subtype = mime_type.partition("/")
        upload = Upload(
            id=f"file_{digest[:12]}{len(self._files):04d}",
            data=data,
            mime_type=mime_type,
            folder="/".join(_parts(folder)) or f"{kind}s",
            name="_".join(_parts(name)) or f"{digest[:16]}.{subtype}",
            original_name=original_name,
            uploaded=datetime.now(UTC),
        )
        self._files[upload.path] = upload
        return upload

    def at(self, path: str) -> Upload | None:
        """Return the file served at a path."""
        return self._files.get(path)

    def by_id(self, file_id: str) -> Upload | None:
        """Return the file with an id."""
        return next((upload for upload in self._files.values() if upload.id == file_id), None)

    def describe(self) -> list[dict[str, Any]]:
        """Return all files as JSON values."""
        return [upload.describe("") for upload in self._files.values()]


def _parts(path: str) -> list[str]:
    """Drop what no client would ask for: steps up and down, and what can't be printed."""
    plain = "".join(char for char in path if char.isprintable())
    return [part for part in plain.split("/") if part not in ("", ".", "..")]
