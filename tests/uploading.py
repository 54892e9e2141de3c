# SPDX-License-Identifier: Apache-2.0
"""Pictures that have to be uploaded, and workers each of which is a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.media.known_links import KnownLinks

# A model that takes links only.
LINKS_ONLY = "gemini-omni-1.1-flash-image-to-video"
_FRAME = (Path(__file__).parent / "data" / "frame.png").read_bytes()


def write_picture(path: Path, version: int = 0) -> str:
    """Write a picture whose content depends on its version, and return its path."""
    path.write_bytes(_FRAME + version.to_bytes(4, "big"))
    return str(path)


def uploads(emulator: EmulatorHandle) -> list[dict[str, Any]]:
    """Return what EvoLink stores."""
    found: list[dict[str, Any]] = emulator.control.state()["uploads"]
    return found


def forget_links(patch: pytest.MonkeyPatch) -> None:
    """Let every worker begin without links, as a new process does."""
    patch.setattr("airflow_provider_evolink.media.uploader.known_links", lambda _: KnownLinks())
