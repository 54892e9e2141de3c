# SPDX-License-Identifier: Apache-2.0
"""
Gives a whole file its final name, in one step, on any storage fsspec knows, and only where nothing has that name.

A file is first held in a spool without a name, which vanishes with the process however that ends. From there

- on a local file system the spool itself is given a name, without a second copy where the system can do so;
- on an object store it is uploaded: the object appears once the upload is complete; a failed one is aborted. S3,
  Azure and Google make it only if there is none of that name;
- on anything else it is written beside its final name, looked for once more, and then moved.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from airflow_provider_evolink.api.errors import FileConflictError, LandingError
from airflow_provider_evolink.api.generation import is_generation_id
from airflow_provider_evolink.landing import local, s3
from airflow_provider_evolink.landing.move_into_place import write_and_move
from airflow_provider_evolink.landing.storage_errors import failure, is_taken, lacks_conditions
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.landing.unnamed_file import open_unnamed
from airflow_provider_evolink.landing.whole_file import (
    BLOCK_BYTES,
    COPY_BYTES,
    WholeFile,
    is_beginning,
    is_same,
    refuse_if_taken,
    size_of,
)

_MARK = "evolink_generation_id"


def new_spool(destination: StorageTarget) -> BinaryIO:
    """
    Open a file without a name, where it can be given one later if the destination is local.

    :raises LandingError: the folder can't be made, or this worker has no room for a temporary file.
    """
    if destination.is_local:
        try:
            local.make_folder(Path(destination.path))
        except OSError as error:
            raise LandingError(f"{destination.uri} can't be written to: {error.strerror}.") from error
        with suppress(OSError, AttributeError):
            return open_unnamed(destination.path)
    try:
        return cast(BinaryIO, tempfile.TemporaryFile())
    except OSError as error:
        raise LandingError(f"{no_room()} ({error.strerror or error}).") from error


def no_room() -> str:
    """What to tell where a temporary file can't be made or grow; the destination has no part in it."""
    with suppress(OSError):
        return f"This worker has no room for a temporary file in {tempfile.gettempdir()} (TMPDIR chooses the folder)"
    return "This worker has no folder for temporary files (TMPDIR chooses it)"


def contains(place: StorageTarget, size: int, sha256: str) -> bool:
    """Whether a file of this name is there, with this size and, read again, this hash."""
    # What can't be read counts as not there: it is written again, and if that fails too, that is told.
    with suppress(Exception):
        return is_same(place, size, sha256)
    return False


def sweep(place: StorageTarget) -> None:
    """Remove what a landing has left that was killed when its file had its name already; other storage leaves none."""
    if place.is_local:
        local.sweep(Path(place.path))


def generation_at(place: StorageTarget) -> str | None:
    """Return which generation the file of this name is of, where the storage has kept that."""
    noted = None
    with suppress(Exception):
        if place.is_local:
            noted = local.generation_of(Path(place.path))
        elif place.protocol in s3.PROTOCOLS:
            noted = place.fs.metadata(place.path, refresh=True).get(_MARK.replace("_", "-"))
        else:
            noted = (place.fs.info(place.path).get("metadata") or {}).get(_MARK)
    return noted if is_generation_id(noted) else None


def publish(
    file: WholeFile,
    place: StorageTarget,
    *,
    replace: bool = False,
    earlier_uploads: Collection[str] = (),
    began: Callable[[str | None], None] = lambda _: None,
) -> None:
    """
    Give a whole file its final name.

    :param replace: put it in the place of what lies there; otherwise that is left as it is.
    :param earlier_uploads: ids of uploads to this place by earlier tries of the same task, which are aborted.
    :param began: called before the name can appear, with the id of the upload if there is one.
    :raises FileConflictError: something lies there, and was left as it is.
    :raises StorageRefusedError: it could not be written, and a retry could not either.
    :raises LandingError: it could not be written; no half file is left.
    """
    try:
        if place.is_local:
            began(None)
            local.name_file(file.spool, Path(place.path), file.generation_id, replace=replace)
        elif place.protocol in s3.PROTOCOLS:
            _upload_to_s3(file, place, replace=replace, earlier=earlier_uploads, began=began)
        else:
            began(None)
            (_upload if place.is_object_store else write_and_move)(file, place, replace=replace)
    except Exception as error:
        if is_taken(error):
            raise FileConflictError(f"Something lies at {place.uri} already.") from error
        raise failure(place, error) from error
    if not place.is_local:
        _check(file, place)


def _check(file: WholeFile, place: StorageTarget) -> None:
    stored = size_of(place)
    if stored is None or stored == file.size:
        return
    with suppress(Exception):
        # Only what is certain to be the half of ours may go: it may as well be another file by now.
        if is_beginning(place, stored, file):
            place.fs.rm_file(place.path)
    raise LandingError(
        f"{place.uri} has {stored} bytes after {file.size} were written: the storage has lost some, or something else "
        "was written there at the same time."
    )


def _upload_to_s3(
    file: WholeFile,
    place: StorageTarget,
    *,
    replace: bool,
    earlier: Collection[str],
    began: Callable[[str | None], None],
) -> None:
    is_large = file.size >= BLOCK_BYTES
    s3.abort(place, earlier)
    if is_large:
        s3.abort_stale(place, now=datetime.now(UTC))
    facts = {"ContentType": file.content_type, "Metadata": {_MARK.replace("_", "-"): file.generation_id}}

    def upload(only_new: Mapping[str, str]) -> None:
        def condition() -> Mapping[str, str]:
            if not replace:
                refuse_if_taken(place)
            return only_new

        s3.upload(file.spool, place, facts, is_large=is_large, condition=condition, began=began)

    _preferring_conditions(lambda: upload(s3.ONLY_NEW), lambda: upload({}), replace=replace)


def _upload(file: WholeFile, place: StorageTarget, *, replace: bool) -> None:
    def upload(mode: str) -> None:
        facts = _facts(file, place)
        target = place.fs.open(place.path, mode, block_size=BLOCK_BYTES, **facts)
        try:
            file.spool.seek(0)
            shutil.copyfileobj(file.spool, target, COPY_BYTES)
            if not replace:
                refuse_if_taken(place)
            target.close()
        except BaseException:
            _abandon(target)
            raise

    _preferring_conditions(lambda: upload("xb"), lambda: upload("wb"), replace=replace)


def _preferring_conditions(only_new: Callable[[], None], plainly: Callable[[], None], *, replace: bool) -> None:
    """Write only where nothing is, or where the storage can't do that, after having looked."""
    if replace:
        plainly()
        return
    try:
        only_new()
    except Exception as error:
        if not lacks_conditions(error):
            raise
        plainly()


def _facts(file: WholeFile, place: StorageTarget) -> dict[str, Any]:
    if place.protocol in {"gs", "gcs"}:
        return {"content_type": file.content_type, "metadata": {_MARK: file.generation_id}}
    if place.protocol in {"abfs", "abfss", "adl"}:
        # adlfs notes the second at every file it makes, unless it is given other metadata.
        metadata = {_MARK: file.generation_id, "is_directory": "false"}
        return {"content_settings": {"content_type": file.content_type}, "metadata": metadata}
    return {}


def _abandon(target: Any) -> None:
    """Closing, even by the garbage collector, would turn what has been sent into an object."""
    with suppress(Exception):
        target.discard()
    with suppress(AttributeError):
        target.closed = True
