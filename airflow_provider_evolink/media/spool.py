# SPDX-License-Identifier: Apache-2.0
"""Copy the content of a file to a temporary one, from which it can be sent again and again, in bounded memory.

The copy is hashed while it is made: what is uploaded is what was checked, even if the original changes meanwhile.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError, NotSentError, UnreadableInputError
from airflow_provider_evolink.api.files import MAX_UPLOAD_BYTES
from airflow_provider_evolink.api.wording import megabytes, shorten
from airflow_provider_evolink.media.files import size_of

_CHUNK_BYTES = 1024 * 1024
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Content:
    """A copy of a file's content.

    :param stream: the copy; whoever has it closes it.
    :param size: in bytes.
    :param sha256: in hexadecimal.
    :param head: its first 4 KiB.
    """

    stream: BinaryIO = field(repr=False)
    size: int
    sha256: str
    head: bytes = field(repr=False)


def spool(open_content: Callable[[], BinaryIO], parameter: str, source: object) -> Content:
    """Copy what can be uploaded. Blocks.

    :param open_content: opens the content. Raises OSError, ValueError or ImportError if it can't be read, anything
        else if a retry may help, as does a ConnectionError or TimeoutError.
    :param parameter: that it was passed for, for errors.
    :param source: where it comes from, for errors.
    :raises UnreadableInputError: it can't be read. A retry finds the same.
    :raises InvalidInputError: it is larger than what can be uploaded, or empty. A retry finds the same.
    :raises NotSentError: it can't be read at the moment; nothing was sent. A retry reads it again.
    """
    try:
        with open_content() as original:
            if original.seekable():
                # Too large a file is refused before it is read.
                _check_size(size_of(original), parameter, source)
                original.seek(0)
            return _copy(original, parameter, source)
    except EvoLinkError:
        raise
    except Exception as error:
        raise _unreadable(error, parameter, source) from error


def _unreadable(error: Exception, parameter: str, source: object) -> EvoLinkError:
    is_permanent = isinstance(error, OSError | ValueError | ImportError)
    if is_permanent and not isinstance(error, ConnectionError | TimeoutError):
        reason = getattr(error, "strerror", None) or str(error)
        return UnreadableInputError(parameter, source, f"a readable file ({reason})")
    # Storage clients have exceptions of their own, most of them transient.
    return NotSentError(
        f"`{parameter}`={shorten(source)} can't be read at the moment ({error}). Nothing was submitted or charged.",
        advice="A retry reads it again.",
    )


def _copy(original: BinaryIO, parameter: str, source: object) -> Content:
    with ExitStack() as on_error:
        copy = cast(BinaryIO, on_error.enter_context(tempfile.TemporaryFile()))
        digest, size = hashlib.sha256(), 0
        while chunk := original.read(_CHUNK_BYTES):
            size += len(chunk)
            _check_size(size, parameter, source)
            digest.update(chunk)
            copy.write(chunk)
        _check_size(size, parameter, source)
        copy.seek(0)
        head = copy.read(_HEAD_BYTES)
        on_error.pop_all()
    return Content(copy, size, digest.hexdigest(), head)


def _check_size(size: int, parameter: str, source: object) -> None:
    if not size:
        raise InvalidInputError(parameter, source, "a file that is not empty")
    if size > MAX_UPLOAD_BYTES:
        raise InvalidInputError(
            parameter,
            source,
            f"a file of at most {megabytes(MAX_UPLOAD_BYTES)}, as EvoLink's own client requires, but this one has "
            f"{megabytes(size)}",
        )
