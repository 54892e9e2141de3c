# SPDX-License-Identifier: Apache-2.0
"""Decide which files may be shown: those below a root that an administrator has named, whatever a record says.

A record is written by a task, so it may name any file. The connection always comes from the root.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from airflow_provider_evolink.api.errors import InvalidInputError, LandingInputError
from airflow_provider_evolink.landing.storage_target import LOCAL, OBJECT_STORES, check_form

OPTION = "[evolink] gallery_roots"
_ALLOWED = (
    "storage URIs of folders with their connection, separated by commas, such as "
    "s3://conn_id@bucket/videos, file:///data/videos"
)
_MAX_LENGTH = 4096
_URI = re.compile(r"([a-z][a-z0-9+.-]*)://(.+)", re.DOTALL)
log = logging.getLogger(__name__)


class NotShownError(Exception):
    """A file that is not shown; the message is for the reader of the page, and names no path."""


class NotHereError(NotShownError):
    """A file of a local file system that this machine does not have."""


@dataclass(frozen=True, slots=True)
class Root:
    """A folder whose files may be shown.

    :param scheme: such as ``s3``; ``file`` for folders of this machine.
    :param path: the bucket and the folder in it, or the absolute path; without a slash at its end.
    :param conn_id: the connection to use; None for the one that Airflow takes by default.
    """

    scheme: str
    path: str
    conn_id: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return self.scheme == "file"


@dataclass(frozen=True, slots=True)
class Location:
    """A file that may be shown.

    :param path: in the storage of the root; on this machine without symbolic links.
    """

    root: Root
    path: str


def configured_roots() -> tuple[Root, ...]:
    """Return the roots of ``[evolink] gallery_roots``; those that can't work are left out and logged."""
    from airflow_provider_evolink.compat import conf

    return _parsed(str(conf.get("evolink", "gallery_roots", fallback="") or ""))


def parse_root(text: str) -> Root:
    """Parse a root.

    :param text: a storage URI with its connection, or an absolute path.
    :raises InvalidInputError: it can't be a root; the message says what can.
    """
    try:
        check_form(text)
    except LandingInputError as error:
        # Its value has no credentials.
        raise InvalidInputError(OPTION, error.value, f"{_ALLOWED}; each {error.allowed}") from error
    scheme, _, rest = text.partition("://") if "://" in text else ("file", "", os.path.expanduser(text))  # noqa: PTH111
    scheme = scheme.lower()
    if scheme in LOCAL:
        return Root("file", _checked_path(text, "/" + os.path.normpath(rest).lstrip("/")))
    if scheme not in OBJECT_STORES:
        raise InvalidInputError(OPTION, text, f"{_ALLOWED}; {scheme}:// is not supported")
    conn_id, _, path = rest.rpartition("@")
    return Root(scheme, _checked_path(text, path.rstrip("/")), conn_id or None)


def locate(uri: object, conn_id: object, roots: Sequence[Root]) -> Location:
    """Return where to read a file that a record names.

    :param uri: as the record has it.
    :param conn_id: the connection that the record names; it only chooses among several roots that hold the file.
    :raises NotHereError: it would be on this machine, and is not.
    :raises NotShownError: it may not be shown; the message says why.
    """
    if not roots:
        raise NotShownError(f"Files are not shown here: {OPTION} is empty.")
    scheme, path = _parts(uri)
    fitting = [root for root in roots if root.scheme == scheme and any(_is_below(path, name) for name in _names(root))]
    if not fitting:
        raise NotShownError(f"The file is not below a folder of {OPTION}.")
    root = next((root for root in fitting if root.conn_id == conn_id), fitting[0])
    return _resolved(path, fitting) if root.is_local else Location(root, path)


@functools.lru_cache(maxsize=4)
def _parsed(text: str) -> tuple[Root, ...]:
    roots = []
    for item in filter(None, map(str.strip, text.split(","))):
        try:
            roots.append(parse_root(item))
        except InvalidInputError as error:
            log.error("The gallery leaves out a folder: %s", error.refusal)
    return tuple(roots)


def _checked_path(text: str, path: str) -> str:
    if not path.strip("/") or not _is_plain(path):
        raise InvalidInputError(OPTION, text, f"{_ALLOWED}; each a bucket or a folder, without . or .. in its path")
    return path


def _parts(uri: object) -> tuple[str, str]:
    match = _URI.fullmatch(uri) if isinstance(uri, str) and len(uri) <= _MAX_LENGTH else None
    if match is None or not _is_plain(match[2]) or not _is_plain(unquote(match[2])):
        raise NotShownError("The record does not name a file in a way that can be shown.")
    return match[1], match[2]


def _is_plain(path: str) -> bool:
    """Return whether a path can't lead elsewhere and can be printed."""
    return path.isprintable() and "\\" not in path and not {".", ".."} & set(path.split("/"))


def _names(root: Root) -> tuple[str, ...]:
    """Return the paths by which a record may name a root: as configured, and without symbolic links."""
    return (root.path, os.path.realpath(root.path)) if root.is_local else (root.path,)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/") and len(path) > len(folder) + 1 and not path.endswith("/")


def _resolved(path: str, roots: Sequence[Root]) -> Location:
    """Follow symbolic links, of the file and of the roots, and check again."""
    try:
        real = os.path.realpath(path, strict=True)
    except (OSError, ValueError) as error:
        raise NotHereError("The file is not on this machine.") from error
    for root in roots:
        if _is_below(real, os.path.realpath(root.path)):
            if not Path(real).is_file():
                raise NotShownError("The record names a folder or a device.")
            return Location(root, real)
    raise NotShownError(f"A symbolic link leads out of the folders of {OPTION}.")
