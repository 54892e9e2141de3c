# SPDX-License-Identifier: Apache-2.0
"""
Uploads a large file to S3 in parts, some at a time, and takes all of them back if one fails.

S3 takes its time to answer for a part, and one at a time would leave the line idle meanwhile: so does a file of s3fs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, BinaryIO

# S3's smallest part: memory holds as many of these as are on their way.
PART_BYTES = 5 * 1024 * 1024
_AT_ONCE = 2


def upload(spool: BinaryIO, fs: Any, path: str, **options: Any) -> None:
    """
    Upload a file, of which S3 shows nothing before it is whole.

    :param spool: at its start, and not empty.
    :param fs: an ``s3fs.S3FileSystem``.
    :param options: of ``create_multipart_upload``.
    """
    bucket, key, _ = fs.split_path(path)
    begun = fs.call_s3("create_multipart_upload", Bucket=bucket, Key=key, **options)
    there = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
    try:
        # The pool ends before anything else happens: a part that comes after the abort would stay, and cost.
        with ThreadPoolExecutor(_AT_ONCE, "evolink-upload") as pool:
            parts = list(_sent(spool, fs, there, pool))
        fs.call_s3("complete_multipart_upload", **there, MultipartUpload={"Parts": parts})
    except BaseException:
        with suppress(Exception):
            fs.abort_mpu(bucket, key, there["UploadId"])
        raise


def _sent(spool: BinaryIO, fs: Any, there: dict[str, str], pool: ThreadPoolExecutor) -> Iterator[dict[str, Any]]:
    """Send all parts, and read the next only when one has arrived."""
    under_way: deque[Future[dict[str, Any]]] = deque()
    number = 0
    while piece := spool.read(PART_BYTES):
        number += 1
        under_way.append(pool.submit(_send, fs, there, number, piece))
        del piece
        if len(under_way) == _AT_ONCE:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _send(fs: Any, there: dict[str, str], number: int, piece: bytes) -> dict[str, Any]:
    answer = fs.call_s3("upload_part", **there, PartNumber=number, Body=piece)
    checksums = {name: value for name, value in answer.items() if name in {"ETag", "ChecksumSHA256"}}
    return {"PartNumber": number, **checksums}
