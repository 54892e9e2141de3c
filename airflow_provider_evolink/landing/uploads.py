# SPDX-License-Identifier: Apache-2.0
"""Which files EvoLink takes as an upload, by their content. Pure."""

from __future__ import annotations

from airflow_provider_evolink.api.media import sniff_image
from airflow_provider_evolink.landing.media_types import HEAD_BYTES, identify

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
