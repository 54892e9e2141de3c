# SPDX-License-Identifier: Apache-2.0
"""Put a poster beside a file that has landed, or find it there.

A poster never decides whether a landing succeeds. It is put there after its file, so that a kill in between leaves a
file without a poster, which a retry draws. Whether a file is the poster of another, it states itself (:mod:`stamp`),
so no record can be wrong about it.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_provider_evolink.api.errors import EvoLinkError, FileConflictError
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.staged_file import COPY_BYTES, StagedFile
from airflow_provider_evolink.landing.storage_errors import describe
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.posters import stamp
from airflow_provider_evolink.posters.painter import NoPosterError

if TYPE_CHECKING:
    from airflow_provider_evolink.landing.checkpoint import Landed
    from airflow_provider_evolink.posters.painter import Painter

log = logging.getLogger(__name__)

_SHOWN = frozenset({"video", "image", "audio"})
_HEADERLESS = "pcm"


def add_poster(
    painter: Painter,
    landed: Landed,
    target: StorageTarget,
    file: BinaryIO | None,
    *,
    is_new: bool,
    earlier: Collection[str],
    replace_any: bool,
) -> bool:
    """Put a poster beside a file that has landed, unless it is there already.

    :param painter: draws it.
    :param landed: the file.
    :param target: where it is.
    :param file: the same, on this machine; ``None`` = read it from where it is.
    :param is_new: whether it was written just now, so that no poster of it is expected.
    :param earlier: SHA-256 of the files that the same landing has written to that name; their poster is replaced.
    :param replace_any: replace whatever has the poster's name.
    :return: whether there is a poster of this file now. If not, a warning says why.
    """
    if landed.media_type.family not in _SHOWN or landed.extension == _HEADERLESS:
        return False
    poster = replace(target, path=f"{target.path}{stamp.SUFFIX}")
    try:
        if is_new or _shown_by(poster) != landed.sha256:
            _publish(_drawn(painter, landed, target, file), landed.sha256, poster, earlier, replace_any=replace_any)
    except Exception as error:
        log.warning("%s has landed, but has no poster: %s.", target.uri, _reason(error))
        return False
    return True


def _drawn(painter: Painter, landed: Landed, target: StorageTarget, file: BinaryIO | None) -> bytes:
    with _local(target, file) as source:
        jpeg = painter.draw(source, is_video=landed.media_type.family == "video")
    return stamp.stamp(jpeg, landed.sha256)


@contextmanager
def _local(target: StorageTarget, file: BinaryIO | None) -> Iterator[BinaryIO]:
    if file is not None:
        yield file
    elif target.is_local:
        with Path(target.path).open("rb") as stored:
            yield stored
    else:
        with cast(BinaryIO, tempfile.TemporaryFile()) as copy, target.fs.open(target.path, "rb") as stored:
            shutil.copyfileobj(stored, copy, COPY_BYTES)
            yield copy


def _publish(jpeg: bytes, sha256: str, poster: StorageTarget, earlier: Collection[str], *, replace_any: bool) -> None:
    with storage.open_staging_file(replace(poster, path=poster.folder)) as stream:
        stream.write(jpeg)
        file = StagedFile(stream, len(jpeg), stamp.CONTENT_TYPE, None)
        try:
            storage.publish(file, poster, replace=replace_any)
        except FileConflictError as error:
            shown = _shown_by(poster)
            if shown == sha256:
                return
            if shown not in earlier:
                raise FileConflictError(
                    f"{poster.uri} is taken by a file that this task has not written, or that was changed since; it "
                    "was left alone"
                ) from error
            storage.publish(file, poster, replace=True)


def _shown_by(poster: StorageTarget) -> str | None:
    """Return the SHA-256 of the file that an existing poster shows; ``None`` if there is no poster as it was drawn."""
    with suppress(Exception):
        poster.fs.invalidate_cache(poster.folder)
        if int(poster.fs.info(poster.path)["size"]) <= stamp.MAX_BYTES:
            return stamp.shown_file(poster.fs.cat_file(poster.path))
    return None


def _reason(error: Exception) -> str:
    is_worded = isinstance(error, NoPosterError | EvoLinkError)
    return str(error).rstrip(".") if is_worded else f"it could not be written ({describe(error)})"
