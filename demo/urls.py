# SPDX-License-Identifier: Apache-2.0
"""Addresses of files."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse


def path_of(uri: str) -> Path:
    """Return the path of a ``file://`` URI."""
    return Path(unquote(urlparse(uri).path))
