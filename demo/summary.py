# SPDX-License-Identifier: Apache-2.0
"""What came out, and what it took."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

import av

from demo.session import PROJECT, Made, Session


def summary(session: Session, made: Made) -> dict[str, str]:
    """Return names and values to show."""
    video = Path(unquote(urlparse(made.landed["uri"]).path))
    usage = made.record["usage"]
    count = session.evolink.count
    return {
        "Video": str(video.relative_to(PROJECT)),
        "Length": _length(video),
        "Size": f"{made.landed['bytes']:,} bytes",
        "sha256": made.landed["sha256"],
        "Generation": made.record["generation_id"],
        "Credits": f"{usage['credits_used']} used of {usage['credits_reserved']} reserved",
        "Requests": count() if count else "only the emulator counts them",
        "Published": f"{len(session.receiver.published)} message to {session.receiver.url}",
        "Run": f"{made.seconds:.0f} s from the start of the DAG run to its end",
    }


def _length(video: Path) -> str:
    """Read it from the file itself, as proof that it is one."""
    with av.open(str(video)) as container:
        picture = container.streams.video[0]
        codecs = " + ".join(stream.codec_context.name for stream in container.streams)
        return f"{(container.duration or 0) / av.time_base:.1f} s, {picture.width}x{picture.height}, {codecs}"
