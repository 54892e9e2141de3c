# SPDX-License-Identifier: Apache-2.0
"""Reading a picture from wherever Airflow can reach, and telling what may be uploaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_evolink.api.media import MAX_IMAGE_BYTES, sniff_image
from airflow_provider_evolink.landing.kinds import HEAD_BYTES, identify

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

# Documented are these pictures; EvoLink's own clients upload any sound and video, too.
_UPLOADED_IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
UPLOADABLE = "a png, jpeg, webp or gif picture, a video or a sound"


def upload_type(head: bytes) -> str | None:
    """
    Tell the content type of a file that EvoLink takes as an upload, by its content.

    :param head: its first bytes; ``HEAD_BYTES`` of them are enough.
    :return: such as ``video/mp4``; None for anything that EvoLink does not take, and for pictures that are cut off.
    """
    kind = identify(head[:HEAD_BYTES], None)
    if kind is None or kind.family not in {"image", "video", "audio"}:
        return None
    if kind.family != "image" or kind.content_type == "image/gif":
        return kind.content_type
    return kind.content_type if kind.content_type in _UPLOADED_IMAGES and sniff_image(head) else None


def read_image(location: str) -> bytes:
    """
    Read a picture from a local path or any storage URI, and no more of it than a request can hold.

    :param location: a path, or a URI such as ``s3://conn_id@bucket/key``.
    :raises OSError, ValueError, ImportError: it can't be read, or its scheme needs a provider that is not installed.
    :raises ConnectionError: the storage can't be asked just now. A retry may pass.
    """
    from airflow.sdk import ObjectStoragePath

    try:
        return _head(ObjectStoragePath(location))
    except (OSError, ValueError, ImportError):
        raise
    except Exception as error:
        # Storage clients have failures of their own, most of which pass.
        raise ConnectionError(f"{location} can't be read just now ({error}). Nothing was sent by this try.") from error


def _head(path: ObjectStoragePath) -> bytes:
    with path.open("rb") as file:  # type: ignore[no-untyped-call]
        data: bytes = file.read(MAX_IMAGE_BYTES + 1)
    return data
