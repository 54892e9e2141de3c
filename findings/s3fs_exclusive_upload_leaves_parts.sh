#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# s3fs 2026.9.0, mode "xb" (create only): what is left of a large upload to a name that is taken.
#
# Guess: like open(2) with O_EXCL it fails when the file is opened, or at the latest cleans up after itself, so that the
# bucket is as it was: one object, no upload under way.
#
# What happens: opening and writing succeed, and so do all parts. Only close() asks S3 to complete the upload "if none
# matches", raises FileExistsError when S3 refuses, and leaves the multipart upload open. The object is untouched, but
# the parts stay in the bucket, unseen by a listing and at the price of storage, until somebody aborts the upload. A
# small file, which goes in one request, leaves nothing. So "exclusive" costs nothing for small files and keeps the
# refused bytes for large ones; whoever relies on it has to abort the upload, or give the bucket a lifecycle rule.
#
# Needs python3 with venv and a package index; talks to a moto server on the loopback address that it starts and ends.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check \
  "s3fs==2026.9.0" "fsspec==2026.9.0" "aiobotocore==3.10.0" "moto[server]==5.2.5"

port=$("$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$folder/server.log" 2>&1 &
server=$!

"$folder/venv/bin/python" - "http://127.0.0.1:$port" >"$folder/output" <<'PYTHON'
import socket
import sys
import time
from urllib.parse import urlsplit

import s3fs

url = urlsplit(sys.argv[1])
for _ in range(100):
    try:
        socket.create_connection((url.hostname, url.port), 1).close()
        break
    except OSError:
        time.sleep(0.2)

store = s3fs.S3FileSystem(key="any", secret="any", endpoint_url=sys.argv[1])
store.mkdir("box")
store.pipe("box/film", b"first")


def pending():
    return [upload["Key"] for upload in store.call_s3("list_multipart_uploads", Bucket="box").get("Uploads", [])]


def write(name, megabytes):
    stage = "open"
    try:
        file = store.open("box/film", "xb", block_size=5 * 2**20)
        stage = "write"
        file.write(b"x" * megabytes * 2**20)
        stage = "close"
        file.close()
        error = "no error"
    except FileExistsError as raised:
        error = type(raised).__name__
    print(f"{name}: {error} at {stage}, uploads left: {pending()}")


write("1 MiB", 1)
write("12 MiB", 12)
store.invalidate_cache()
print("object:", store.cat("box/film"))
PYTHON

cat "$folder/output"
diff "$folder/output" - <<'EXPECTED'
1 MiB: FileExistsError at close, uploads left: []
12 MiB: FileExistsError at close, uploads left: ['film']
object: b'first'
EXPECTED
echo "as described"
