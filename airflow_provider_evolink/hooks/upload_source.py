# SPDX-License-Identifier: Apache-2.0
"""What ``EvoLinkHook.upload`` takes: a path, a storage URI or bytes, read into a file that can be sent."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_evolink.api.addresses import without_secrets
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.files import OutgoingFile, upload_name
from airflow_provider_evolink.hooks.storage_file import StorageFile
from airflow_provider_evolink.landing.uploads import UPLOADABLE, upload_type
from airflow_provider_evolink.media.spool import spool

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_MEDIA_TYPE = re.compile(r"(image|video|audio)/[a-z0-9.+-]{1,80}")
_ALLOWED = "a path, a storage URI such as s3://conn_id@bucket/key, an http(s) link, an ObjectStoragePath or bytes"


@contextmanager
def outgoing_file(
    source: str | os.PathLike[str] | ObjectStoragePath | bytes, content_type: str | None = None
) -> Iterator[OutgoingFile]:
    """Read a source, in bounded memory, into a file that can be sent.

    :param source: a local path, a storage URI, an ``ObjectStoragePath`` or the content itself.
    :param content_type: such as ``audio/wav``; ``None`` = by its content.
    :raises InvalidInputError: the source can't be read or uploaded; nothing was sent. A retry finds the same.
    :raises NotSentError: it can't be read at the moment. A retry reads it again.
    """
    if content_type is not None and not _MEDIA_TYPE.fullmatch(content_type):
        raise InvalidInputError("content_type", content_type, "None, or a type such as image/png or audio/wav")
    shown, open_content = _described(source)
    content = spool(open_content, "source", shown)
    with content.stream as stream:
        type_ = content_type or upload_type(content.head)
        if type_ is None:
            raise InvalidInputError("source", shown, UPLOADABLE)
        name = "upload" if isinstance(source, bytes | bytearray) else shown
        yield OutgoingFile(upload_name(name, type_), stream, content.size, type_, content.sha256)


def without_credentials(location: object) -> str:
    """Return a path as it is, and a URI without what may be secret."""
    text = str(location)
    return str(without_secrets(text)) if "://" in text else text


def _described(source: object) -> tuple[str, Callable[[], BinaryIO]]:
    """Return a source as errors show it, and what opens it."""
    if isinstance(source, bytes | bytearray):
        return f"{len(source)} bytes", lambda: io.BytesIO(source)
    if not isinstance(source, str | os.PathLike) and not hasattr(source, "protocol"):
        raise InvalidInputError("source", source, _ALLOWED)
    return without_credentials(source), lambda: StorageFile(str(source)).open()
