# SPDX-License-Identifier: Apache-2.0
"""Records and landed files, as our tasks return them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

GENERATION_ID = "task-unified-1"


def landed(path: Path, content_type: str = "video/mp4", **changes: Any) -> dict[str, Any]:
    """Return the entry of a file that has landed on this machine."""
    content = path.read_bytes() if path.is_file() else b""
    entry = {
        "uri": f"file://{path}",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "content_type": content_type,
        "generation_id": GENERATION_ID,
    }
    return {**entry, **changes}


def record(*files: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the record of a generation whose files have landed."""
    made = {
        "generation_id": GENERATION_ID,
        "model": "wan2.5-image-to-video",
        "status": "completed",
        "results": ["https://files.example/0.mp4"],
        "submitted_at": "2026-11-27T20:00:00+00:00",
        "finished_at": "2026-11-27T20:01:30+00:00",
        "usage": {"credits_reserved": 12.0, "credits_used": 10.0, "billing_rule": "per_call"},
        "landed": list(files),
    }
    return {**made, **changes}
