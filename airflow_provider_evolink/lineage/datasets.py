# SPDX-License-Identifier: Apache-2.0
"""Name files and generations as OpenLineage's naming specification does. Pure."""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

GENERATIONS: Final = "evolink"
LOCAL: Final = "file"
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
# The specification has one namespace for each store, however its URIs begin.
_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "local": LOCAL}


class Dataset(NamedTuple):
    """A file, or a generation.

    :param namespace: of a file, the bucket (``s3://bucket``), or ``file`` on this machine; ``evolink`` of a generation.
    :param name: of a file, its key or its absolute path, not percent-encoded; of a generation, its id.
    """

    namespace: str
    name: str


def generation(generation_id: str) -> Dataset:
    """Return a generation, whose results are at EvoLink until they are landed."""
    return Dataset(GENERATIONS, generation_id)


def file(location: str) -> Dataset:
    """Return a file.

    :param location: a path, or a URI; a connection id and credentials in it are left out.
    """
    match = _URI.fullmatch(location)
    scheme = _SCHEMES.get(match[1].lower(), match[1].lower()) if match else LOCAL
    rest = match[2] if match else location
    if scheme == LOCAL:
        return Dataset(LOCAL, os.path.abspath(os.path.expanduser(rest)))  # noqa: PTH100, PTH111 - it may be no path
    authority, _, key = rest.partition("/")
    return Dataset(f"{scheme}://{authority.rpartition('@')[2]}", key.lstrip("/") or "/")
