#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sshfs 2026.8.0 (fsspec's SFTP) with a block_size of 5 MiB, against OpenSSH's own sftp-server.
#
# Guess: block_size says how much is buffered, as in s3fs, gcsfs and adlfs, where 5 MiB is a usual value. On SFTP it can
# only matter for speed: the client knows the largest request that the server takes (limits@openssh.com) and splits
# what is larger.
#
# What happens: a given block_size replaces the server's limit, and each write of up to that size becomes one request.
# OpenSSH takes no message of more than 256 KiB: it refuses it by closing the session with status 11. The writer learns
# only that the connection was lost, the file under its name has what had arrived, and the file system object can't be
# used any more. Small files pass, and so do servers that don't care, such as asyncssh's, with which one would test.
# Without block_size everything works.
#
# Needs python3 with venv, a package index, and OpenSSH's sftp-server, which it gets by `apt-get download` if it is not
# installed; talks to a server on the loopback address that it starts and ends.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

for program in /usr/lib/openssh/sftp-server /usr/libexec/openssh/sftp-server /usr/lib/ssh/sftp-server; do
  [ ! -x "$program" ] || break
done
if [ ! -x "$program" ]; then
  (cd "$folder" && apt-get download -qq openssh-sftp-server >/dev/null 2>&1 && dpkg -x openssh-sftp-server*.deb server)
  program="$folder/server/usr/lib/openssh/sftp-server"
fi

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check "sshfs==2026.8.0" "fsspec==2026.9.0" "asyncssh==2.24.1"

"$folder/venv/bin/python" - "$program" "$folder" >"$folder/output" <<'PYTHON'
import asyncio
import logging
import os
import sys
import threading
import time

import asyncssh
import asyncssh.stream
from sshfs import SSHFileSystem

program, folder = sys.argv[1:]
asyncssh.set_log_level(logging.CRITICAL)
logging.getLogger("asyncio").setLevel(logging.CRITICAL)
ended = []


async def pour(source, target):
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except OSError:
        pass


async def openssh(_, reader, writer, *__):
    """Carry out the session by OpenSSH's program rather than by asyncssh itself."""
    server = await asyncio.create_subprocess_exec(program, stdin=-1, stdout=-1, stderr=-3)
    pouring = asyncio.gather(pour(reader, server.stdin), pour(server.stdout, writer))
    ended.append(await server.wait())
    writer.channel.get_connection().abort()
    await pouring


class Everybody(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False


async def listen():
    keys = [asyncssh.generate_private_key("ssh-ed25519")]
    return await asyncssh.listen("127.0.0.1", 0, server_factory=Everybody, server_host_keys=keys, sftp_factory=True)


asyncssh.stream.run_sftp_server = openssh
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
port = asyncio.run_coroutine_threadsafe(listen(), loop).result(30).get_port()


def write(size, block_size):
    store = SSHFileSystem("127.0.0.1", port=port, username="x", known_hosts=None, skip_instance_cache=True)
    ended.clear()
    try:
        with store.open(f"{folder}/film", "wb", block_size=block_size) as file:
            file.write(b"x" * size)
        result = f"{os.path.getsize(f'{folder}/film'):,} bytes"
    except Exception as error:
        # Which of three it is depends on what notices first.
        is_lost = isinstance(error, (asyncssh.ConnectionLost, asyncssh.SFTPConnectionLost, BrokenPipeError))
        while not ended:
            time.sleep(0.01)
        result = f"{'connection lost' if is_lost else repr(error)}, sftp-server ended with {ended}"
    print(f"{size:,} bytes, block_size={block_size}: {result}", flush=True)


for size in (200_000, 1_000_000):
    for block_size in (None, 5 * 2**20):
        write(size, block_size)
os._exit(0)
PYTHON

cat "$folder/output"
diff "$folder/output" - <<'EXPECTED'
200,000 bytes, block_size=None: 200,000 bytes
200,000 bytes, block_size=5242880: 200,000 bytes
1,000,000 bytes, block_size=None: 1,000,000 bytes
1,000,000 bytes, block_size=5242880: connection lost, sftp-server ended with [11]
EXPECTED
echo "as described"
