# SPDX-License-Identifier: Apache-2.0
"""Decide which files EvoLink accepts as an upload, by their content. Pure."""

from __future__ import annotations

from airflow_provider_evolink.api.media import sniff_image
from airflow_provider_evolink.landing.media_types import HEAD_BYTES, identify

# These images are documented; EvoLink's own clients upload any audio and video, too.
_UPLOADED_IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
UPLOADABLE = "a png, jpeg, webp or gif image, a video or an audio file"


def upload_type(head: bytes) -> str | None:
    """Identify the content type of a file that EvoLink accepts as an upload.

    :param head: its first bytes; ``HEAD_BYTES`` of them are enough.
    :return: such as ``video/mp4``; ``None`` for anything that EvoLink does not accept, and for truncated images.
    """
    media_type = identify(head[:HEAD_BYTES], None)
    if media_type is None or media_type.family not in {"image", "video", "audio"}:
        return None
    if media_type.family != "image" or media_type.content_type == "image/gif":
        return media_type.content_type
    return media_type.content_type if media_type.content_type in _UPLOADED_IMAGES and sniff_image(head) else None
