# SPDX-License-Identifier: Apache-2.0
"""The result of a demo: the video, and what it cost."""

from __future__ import annotations

from pathlib import Path

import av

from demo.session import PROJECT, Session
from demo.urls import path_of
from demo.video import Video


def summary(session: Session, video: Video) -> dict[str, str]:
    """Return names and values to show."""
    path = path_of(video.landed["uri"])
    usage = video.record["usage"]
    count = session.evolink.count
    return {
        "Video": str(path.relative_to(PROJECT)),
        "Length": _length(path),
        "Size": f"{video.landed['bytes']:,} bytes",
        "sha256": video.landed["sha256"],
        "Generation": video.record["generation_id"],
        "Credits": f"{usage['credits_used']} used of {usage['credits_reserved']} reserved",
        "Requests": count() if count else "counted by the emulator only",
        "Published": f"{len(session.webhook.received)} message to {session.webhook.url}",
        "Run": f"{video.seconds:.0f} s from the start of the DAG run to its end",
    }


def _length(path: Path) -> str:
    """Read the length from the file itself, which proves that it is a video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codecs = " + ".join(stream.codec_context.name for stream in container.streams)
        return f"{(container.duration or 0) / av.time_base:.1f} s, {stream.width}x{stream.height}, {codecs}"
