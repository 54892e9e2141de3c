#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# aiohttp 3.14.5 on CPython 3.11 to 3.14 (asyncio's own loop), fifty kept connections over TLS; httpx 0.28.1 beside it.
#
# Guess: a connection that waits in the pool after a response of a hundred bytes holds what OpenSSL needs, 20 to 40 KiB,
# whichever client keeps it; buffers grow with what is received, and are given back.
#
# What happens: each of aiohttp's holds 256 KiB of Python's heap from its handshake until it is closed, many times what
# httpx's holds. It is the read buffer of asyncio's TLS protocol, which is allocated whole and never shrinks, and which
# no parameter of aiohttp or asyncio changes. Fifty requests at once therefore leave 12.5 MiB behind for as long as
# keepalive_timeout, and a pool of thousands some hundreds: in a process that sends a burst and then works on something
# else, closing the session in between frees it. In tracemalloc the line is in asyncio/sslproto.py, not in aiohttp.
#
# Needs python3 with venv, and a package index; talks to a server on the loopback address that it starts and ends.
set -euo pipefail
folder=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check "aiohttp==3.14.5" "httpx==0.28.1" "trustme==1.2.1"

cat >"$folder/server.py" <<'PYTHON'
"""Answers each request with a hundred bytes after a quarter of a second, and keeps the connection."""
import asyncio
import ssl
import sys

import trustme

authority = trustme.CA()
authority.cert_pem.write_to_path(f"{sys.argv[1]}/ca.pem")
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("127.0.0.1").configure_cert(tls)


async def answer(reader, writer):
    while await reader.readuntil(b"\r\n\r\n"):
        await asyncio.sleep(0.25)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100)


async def main():
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    serving = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    print(serving.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(120)


asyncio.run(main())
PYTHON

cat >"$folder/client.py" <<'PYTHON'
"""Prints the KiB of Python's heap that each of fifty idle connections holds."""
import asyncio
import gc
import ssl
import sys
import tracemalloc

import aiohttp
import httpx

library, url, authority = sys.argv[1:]
COUNT = 50
tls = ssl.create_default_context(cafile=authority)


def traced():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def measure(get):
    await get()
    before = traced()
    await asyncio.gather(*(get() for _ in range(COUNT)))
    held = (traced() - before) / (COUNT - 1) / 1024
    top = tracemalloc.take_snapshot().statistics("lineno")[0].traceback[0].filename
    print(library, round(held), top.rpartition("/")[2])


async def with_aiohttp():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:

        async def get():
            async with session.get(url) as response:
                assert len(await response.read()) == 100

        await measure(get)


async def with_httpx():
    async with httpx.AsyncClient(verify=tls, limits=httpx.Limits(max_keepalive_connections=COUNT)) as client:

        async def get():
            assert len((await client.get(url)).content) == 100

        await measure(get)


tracemalloc.start()
asyncio.run({"aiohttp": with_aiohttp, "httpx": with_httpx}[library]())
PYTHON

"$folder/venv/bin/python" "$folder/server.py" "$folder" >"$folder/port" &
server=$!
for _ in $(seq 100); do [ ! -s "$folder/port" ] || break; sleep 0.1; done
url="https://127.0.0.1:$(cat "$folder/port")/"
for library in aiohttp httpx; do
  "$folder/venv/bin/python" "$folder/client.py" "$library" "$url" "$folder/ca.pem"
done | tee "$folder/output"

# Output: "aiohttp 268 sslproto.py" and "httpx 9 ..."; the numbers vary by a few KiB.
awk '$1 == "aiohttp" && $2 >= 256 && $2 < 320 && $3 == "sslproto.py" {a = 1} $1 == "httpx" && $2 < 64 {b = 1}
  END {exit !(a && b)}' "$folder/output" && echo "as described"
