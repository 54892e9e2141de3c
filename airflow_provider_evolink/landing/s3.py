# SPDX-License-Identifier: Apache-2.0
"""
Uploads a whole file to S3, in parts if it is large.

The parts are sent one after the other, so that memory holds one. S3 keeps those of an upload that was killed, unseen
and at a price, until somebody aborts it: the same landing does, by the id that it has noted, and any other landing of
the same file once it is too old to be running.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.landing.whole_file import BLOCK_BYTES

PROTOCOLS = frozenset({"s3", "s3a", "s3n"})
# No upload of one file takes as long.
STALE_AFTER = timedelta(days=1)
ONLY_NEW: Mapping[str, str] = {"IfNoneMatch": "*"}


def upload(
    spool: BinaryIO,
    place: StorageTarget,
    facts: Mapping[str, Any],
    *,
    is_large: bool,
    condition: Callable[[], Mapping[str, str]],
    began: Callable[[str | None], None],
) -> None:
    """
    Make a file an object; if that fails, no part of it is left.

    :param facts: content type and metadata, in S3's words.
    :param condition: under which it gets its name; asked when all but that is done.
    :param began: called before the object can appear, with the id of an upload in parts.
    """
    bucket, key, _ = place.fs.split_path(place.path)
    target = {"Bucket": bucket, "Key": key}
    spool.seek(0)
    if is_large:
        upload_id = _call(place, "create_multipart_upload", target, facts)["UploadId"]
        try:
            began(upload_id)
            parts = [_send(place, {**target, **part}) for part in _parts(spool, upload_id)]
            whole = {"UploadId": upload_id, "MultipartUpload": {"Parts": parts}}
            _call(place, "complete_multipart_upload", target, whole, condition())
        except BaseException:
            abort(place, [upload_id])
            raise
    else:
        began(None)
        _call(place, "put_object", target, facts, {"Body": spool.read()}, condition())


def abort(place: StorageTarget, uploads: Collection[str]) -> None:
    """Take back the parts of uploads to this place; those which have ended are left as they are."""
    bucket, key, _ = place.fs.split_path(place.path)
    for upload_id in uploads:
        with suppress(Exception):
            place.fs.abort_mpu(bucket, key, upload_id)


def abort_stale(place: StorageTarget, *, now: datetime) -> None:
    """Take back the parts of uploads to this place that are too old to be running."""
    bucket, key, _ = place.fs.split_path(place.path)
    with suppress(Exception):
        listed = place.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key).get("Uploads", [])
        abort(place, [upload["UploadId"] for upload in listed if upload["Key"] == key and is_stale(upload, now=now)])


def is_stale(upload: Mapping[str, Any], *, now: datetime) -> bool:
    """Whether an upload, as S3 lists it, is too old to be running; one without a date is not."""
    begun = upload.get("Initiated")
    return isinstance(begun, datetime) and now - begun.astimezone(UTC) > STALE_AFTER


def _parts(spool: BinaryIO, upload_id: str) -> Iterator[dict[str, Any]]:
    number = 1
    while body := spool.read(BLOCK_BYTES):
        yield {"UploadId": upload_id, "PartNumber": number, "Body": body}
        number += 1


def _send(place: StorageTarget, part: Mapping[str, Any]) -> dict[str, Any]:
    return {"PartNumber": part["PartNumber"], "ETag": _call(place, "upload_part", part)["ETag"]}


def _call(place: StorageTarget, method: str, *arguments: Mapping[str, Any]) -> Any:
    """Call S3 as s3fs does, with what the user has set for every call (encryption, say)."""
    merged = {name: value for given in arguments for name, value in given.items()}
    return place.fs.call_s3(method, place.fs.s3_additional_kwargs, **merged)
