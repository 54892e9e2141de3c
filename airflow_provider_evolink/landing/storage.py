# SPDX-License-Identifier: Apache-2.0
"""Publish a complete file under its final name, in one step and never over another file, on any fsspec storage.

A file is first held in a staging file without a name, which disappears with the process, however that ends. From there

- on a local file system the staging file itself is given a name, without a copy where the system supports it;
- to an object store it is uploaded: the object appears once the upload is complete, and a failed upload is aborted.
  On S3, Azure and Google the write is conditional: it fails if an object of that name exists;
- anywhere else it is written under a temporary name and then moved, after one more check that the name is free.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from airflow_provider_evolink.api.errors import FileConflictError, LandingError
from airflow_provider_evolink.api.generation import is_generation_id
from airflow_provider_evolink.landing import gcs, local, s3
from airflow_provider_evolink.landing.move_into_place import write_and_move
from airflow_provider_evolink.landing.staged_file import (
    BLOCK_BYTES,
    COPY_BYTES,
    StagedFile,
    is_prefix,
    matches,
    refuse_if_exists,
    stored_size,
)
from airflow_provider_evolink.landing.storage_errors import (
    already_exists,
    lacks_conditional_writes,
    lost_its_parts,
    write_error,
)
from airflow_provider_evolink.landing.storage_target import AZURE, StorageTarget
from airflow_provider_evolink.landing.unnamed_file import open_unnamed

_METADATA_NAME = "evolink_generation_id"


def open_staging_file(destination: StorageTarget) -> BinaryIO:
    """Open a file without a name; if the destination is local, where it can be given a name later.

    :raises LandingError: the folder can't be created, or this worker has no space for a temporary file.
    """
    if destination.is_local:
        _make_folder(destination)
        with suppress(OSError, AttributeError):
            return open_unnamed(destination.path)
    try:
        return cast(BinaryIO, tempfile.TemporaryFile())
    except OSError as error:
        raise LandingError(f"{no_space_message()} ({error.strerror or error}).") from error


def check_writable(destination: StorageTarget) -> None:
    """Refuse a local folder that can't be written to, and create it if there is none; other storage is not asked.

    :raises LandingError: it can't be created, is no folder, or denies access. A retry looks again.
    """
    if not destination.is_local:
        return
    _make_folder(destination)
    if not os.access(destination.path, os.W_OK | os.X_OK):
        raise _not_writable(destination, "access is denied")


def check_credentials(destination: StorageTarget) -> None:
    """Refuse credentials that Google issues no token for at once; each request of its client would try for minutes.

    :raises StorageRefusedError: they are wrong.
    :raises LandingError: Google can't be asked at the moment.
    """
    if destination.protocol not in gcs.PROTOCOLS:
        return
    try:
        gcs.refresh_token(destination)
    except Exception as error:
        raise write_error(destination, error) from error


def _make_folder(destination: StorageTarget) -> None:
    try:
        local.make_directory(Path(destination.path))
    except OSError as error:
        raise _not_writable(destination, error.strerror) from error


def _not_writable(destination: StorageTarget, reason: str | None) -> LandingError:
    return LandingError(f"{destination.uri} can't be written to: {reason}.", advice="A retry tries again, at no cost.")


def no_space_message() -> str:
    """Describe a temporary file that can't be created or grow; the destination has no part in it."""
    with suppress(OSError):
        return f"This worker has no room for a temporary file in {tempfile.gettempdir()} (TMPDIR sets the folder)"
    return "This worker has no folder for temporary files (TMPDIR sets it)"


def contains(target: StorageTarget, size: int, sha256: str) -> bool:
    """Return whether the file exists, with this size and, read back, this hash."""
    # An unreadable file counts as missing: it is written again, and that raises if it fails too.
    with suppress(Exception):
        return matches(target, size, sha256)
    return False


def remove_leftovers(target: StorageTarget) -> None:
    """Remove what a landing that was killed right after publishing left behind; only local storage has any of it."""
    if target.is_local:
        local.remove_leftovers(Path(target.path))


def stored_generation_id(target: StorageTarget) -> str | None:
    """Return which generation the existing file is a result of, if the storage records that."""
    stored = None
    with suppress(Exception):
        if target.is_local:
            stored = local.read_generation_id(Path(target.path))
        elif target.protocol in s3.PROTOCOLS:
            stored = target.fs.metadata(target.path, refresh=True).get(_METADATA_NAME.replace("_", "-"))
        else:
            stored = (target.fs.info(target.path).get("metadata") or {}).get(_METADATA_NAME)
    return stored if is_generation_id(stored) else None


def publish(
    file: StagedFile,
    target: StorageTarget,
    *,
    replace: bool = False,
    earlier_upload_ids: Collection[str] = (),
    on_start: Callable[[str | None], None] = lambda _: None,
) -> None:
    """Give a complete file its final name.

    :param replace: replace an existing file; otherwise it is left alone.
    :param earlier_upload_ids: multipart uploads to this target by earlier attempts of the same task; they are aborted.
    :param on_start: called before the file can appear, with the id of the multipart upload if there is one.
    :raises FileConflictError: there is an existing file; it was left alone.
    :raises StorageRefusedError: the storage refused the write, and would refuse a retry too.
    :raises LandingError: the write failed; no partial file is left.
    """
    try:
        if target.is_local:
            on_start(None)
            local.publish(file.stream, Path(target.path), file.generation_id, replace=replace)
        elif target.protocol in s3.PROTOCOLS:
            _upload_to_s3(file, target, replace=replace, earlier_upload_ids=earlier_upload_ids, on_start=on_start)
        else:
            on_start(None)
            (_upload if target.is_object_store else write_and_move)(file, target, replace=replace)
    except Exception as error:
        if already_exists(error) or (not replace and _has_lost_race(target, error)):
            raise FileConflictError(f"A file already exists at {target.uri}.") from error
        raise write_error(target, error) from error
    if not target.is_local:
        _check_size(file, target)


def _has_lost_race(target: StorageTarget, error: Exception) -> bool:
    """Return whether another upload to the same name was completed first, on a storage that then discards this one."""
    return lost_its_parts(error) and stored_size(target) is not None


def _check_size(file: StagedFile, target: StorageTarget) -> None:
    size = stored_size(target)
    if size is None or size == file.size:
        return
    with suppress(Exception):
        # It may be someone else's file by now: only what is certainly a part of ours may be removed.
        if is_prefix(target, size, file):
            target.fs.rm_file(target.path)
    raise LandingError(
        f"{target.uri} has {size} bytes after {file.size} were written: the storage lost some, or something else was "
        "written there at the same time."
    )


def _upload_to_s3(
    file: StagedFile,
    target: StorageTarget,
    *,
    replace: bool,
    earlier_upload_ids: Collection[str],
    on_start: Callable[[str | None], None],
) -> None:
    is_large = file.size >= BLOCK_BYTES
    s3.abort(target, earlier_upload_ids)
    if is_large:
        s3.abort_stale(target, now=datetime.now(UTC))
    metadata = {name.replace("_", "-"): value for name, value in _metadata(file).items()}
    object_args = {"ContentType": file.content_type, "Metadata": metadata}

    def upload(only_new: Mapping[str, str]) -> None:
        def condition() -> Mapping[str, str]:
            if not replace:
                refuse_if_exists(target)
            return only_new

        s3.upload(file.stream, target, object_args, is_large=is_large, condition=condition, on_start=on_start)

    _prefer_conditional_write(lambda: upload(s3.ONLY_NEW), lambda: upload({}), replace=replace)


def _upload(file: StagedFile, target: StorageTarget, *, replace: bool) -> None:
    def upload(mode: str) -> None:
        output = target.fs.open(target.path, mode, block_size=BLOCK_BYTES, **_open_args(file, target))
        try:
            file.stream.seek(0)
            shutil.copyfileobj(file.stream, output, COPY_BYTES)
            if not replace:
                refuse_if_exists(target)
            output.close()
        except BaseException:
            _discard(output)
            raise

    _prefer_conditional_write(lambda: upload("xb"), lambda: upload("wb"), replace=replace)


def _prefer_conditional_write(conditional: Callable[[], None], plain: Callable[[], None], *, replace: bool) -> None:
    """Write conditionally; if the storage can't do that, or the file may be replaced, write plainly."""
    if replace:
        plain()
        return
    try:
        conditional()
    except Exception as error:
        if not lacks_conditional_writes(error):
            raise
        plain()


def _metadata(file: StagedFile) -> dict[str, str]:
    return {} if file.generation_id is None else {_METADATA_NAME: file.generation_id}


def _open_args(file: StagedFile, target: StorageTarget) -> dict[str, Any]:
    if target.protocol in gcs.PROTOCOLS:
        return {"content_type": file.content_type, "metadata": _metadata(file)}
    if target.protocol in AZURE:
        # adlfs sets is_directory on every file it creates, unless it is given other metadata.
        metadata = {**_metadata(file), "is_directory": "false"}
        return {"content_settings": {"content_type": file.content_type}, "metadata": metadata}
    return {}


def _discard(output: Any) -> None:
    """Discard an upload; closing it, even by the garbage collector, would create an object from what was sent."""
    with suppress(Exception):
        output.discard()
    with suppress(AttributeError):
        output.closed = True
