# SPDX-License-Identifier: Apache-2.0
"""Upload a complete file to S3, as a multipart upload if it is large.

Parts are sent one after the other, so only one is in memory. S3 keeps, and charges for, the invisible parts of an
upload that was killed until it is aborted. The same task aborts it when it is retried, by the upload id in its
checkpoint, and any other landing of the same file does once the upload is too old to be running.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from airflow_provider_evolink.landing.staged_file import BLOCK_BYTES
from airflow_provider_evolink.landing.storage_target import StorageTarget

PROTOCOLS = frozenset({"s3", "s3a", "s3n"})
# Uploading one file never takes that long.
STALE_AFTER = timedelta(days=1)
ONLY_NEW: Mapping[str, str] = {"IfNoneMatch": "*"}


def upload(
    stream: BinaryIO,
    target: StorageTarget,
    object_args: Mapping[str, Any],
    *,
    is_large: bool,
    condition: Callable[[], Mapping[str, str]],
    on_start: Callable[[str | None], None],
) -> None:
    """Upload a file as an object; if that fails, no part of it is left.

    :param object_args: content type and metadata, as arguments of S3's API.
    :param condition: returns the arguments of a conditional write; called last, right before the object is created.
    :param on_start: called before the object can appear, with the id of the multipart upload if there is one.
    """
    bucket, key, _ = target.fs.split_path(target.path)
    location = {"Bucket": bucket, "Key": key}
    stream.seek(0)
    if is_large:
        upload_id = _call(target, "create_multipart_upload", location, object_args)["UploadId"]
        try:
            on_start(upload_id)
            parts = [_send(target, {**location, **part}) for part in _parts(stream, upload_id)]
            completion = {"UploadId": upload_id, "MultipartUpload": {"Parts": parts}}
            _call(target, "complete_multipart_upload", location, completion, condition())
        except BaseException:
            abort(target, [upload_id])
            raise
    else:
        on_start(None)
        _call(target, "put_object", location, object_args, {"Body": stream.read()}, condition())


def look(folder: StorageTarget, *, timeout: float) -> None:
    """List at most one object of a folder: unlike a HEAD request, its error says what is wrong.

    :param timeout: seconds for all attempts of the client together.
    :raises TimeoutError: they were not enough.
    """
    bucket, key, _ = folder.fs.split_path(folder.path)
    prefix = f"{key.rstrip('/')}/" if key else ""
    folder.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1, timeout=timeout)


def abort(target: StorageTarget, upload_ids: Collection[str]) -> None:
    """Abort multipart uploads to this target; finished ones are left as they are."""
    bucket, key, _ = target.fs.split_path(target.path)
    for upload_id in upload_ids:
        with suppress(Exception):
            target.fs.abort_mpu(bucket, key, upload_id)


def abort_stale(target: StorageTarget, *, now: datetime) -> None:
    """Abort multipart uploads to this target that are too old to be running."""
    bucket, key, _ = target.fs.split_path(target.path)
    with suppress(Exception):
        uploads = target.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key).get("Uploads", [])
        abort(target, [upload["UploadId"] for upload in uploads if upload["Key"] == key and is_stale(upload, now=now)])


def is_stale(upload: Mapping[str, Any], *, now: datetime) -> bool:
    """Return whether an upload, as S3 lists it, is too old to be running; one without a date counts as running."""
    started = upload.get("Initiated")
    return isinstance(started, datetime) and now - started.astimezone(UTC) > STALE_AFTER


def _parts(stream: BinaryIO, upload_id: str) -> Iterator[dict[str, Any]]:
    number = 1
    while body := stream.read(BLOCK_BYTES):
        yield {"UploadId": upload_id, "PartNumber": number, "Body": body}
        number += 1


def _send(target: StorageTarget, part: Mapping[str, Any]) -> dict[str, Any]:
    return {"PartNumber": part["PartNumber"], "ETag": _call(target, "upload_part", part)["ETag"]}


def _call(target: StorageTarget, method: str, *arguments: Mapping[str, Any]) -> Any:
    """Call S3 as s3fs does, with the arguments that the user has set for every call (such as encryption)."""
    merged = {name: value for given in arguments for name, value in given.items()}
    return target.fs.call_s3(method, target.fs.s3_additional_kwargs, **merged)
