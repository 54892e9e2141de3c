# SPDX-License-Identifier: Apache-2.0
"""An SFTP server (asyncssh) on this machine, with failures."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncssh

# Those that can be made to fail.
_REQUESTS = ("open", "write", "close", "rename", "posix_rename")
# As in OpenSSH, which ends the connection at a larger one.
_MAX_MESSAGE = 256 * 1024
_USER, _PASSWORD = "landing", "landing-password"


@dataclass
class Failure:
    """What becomes of the requests that clients send; nothing unless it is set.

    :param request: ``open``, ``write``, ``close``, ``rename`` or ``posix_rename``; None = none.
    :param passing: how many of them pass before one fails.
    :param how: "cut" (the connection, before the request is carried out), "cut after it" or "stall" (no answer).
    :param reached: set when one has failed.
    :param extensions: whether the server knows OpenSSH's own requests.
    """

    request: str | None = None
    passing: int = 0
    how: str = "cut"
    reached: threading.Event = field(default_factory=threading.Event)
    extensions: bool = True

    def set(self, request: str | None, passing: int = 0, how: str = "cut") -> None:
        """Let a request fail."""
        self.request, self.passing, self.how = request, passing, how
        self.reached.clear()

    def meets(self, request: str) -> bool:
        """Return whether a request fails."""
        if request != self.request:
            return False
        self.passing -= 1
        return self.passing < 0


@dataclass(frozen=True)
class Sftp:
    """A running server, whose root is an empty folder.

    :param port: that it listens on.
    :param folder: its root.
    :param failure: of requests.
    """

    port: int
    folder: Path
    failure: Failure

    def connection_with(self, *, password: str = _PASSWORD) -> str:
        """Return an Airflow connection to it, as JSON.

        :param password: the server accepts only its own.
        """
        address = {"conn_type": "sftp", "host": "127.0.0.1", "port": self.port}
        extra = {"no_host_key_check": "true"}
        return json.dumps({**address, "login": _USER, "password": password, "extra": extra})


@contextmanager
def sftp_server(folder: Path) -> Iterator[Sftp]:
    """Run a server as long as the context lasts.

    :param folder: its root.
    """
    failure, connections = Failure(), set[Any]()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    acceptor = asyncio.run_coroutine_threadsafe(_listen(folder, failure, connections), loop).result(30)
    try:
        yield Sftp(acceptor.get_port(), folder, failure)
    finally:
        asyncio.run_coroutine_threadsafe(_close(acceptor, connections), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _listen(folder: Path, failure: Failure, connections: set[Any]) -> asyncssh.SSHAcceptor:
    import asyncssh

    class Account(asyncssh.SSHServer):  # type: ignore[misc]
        def connection_made(self, connection: Any) -> None:
            connections.add(connection)

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (_USER, _PASSWORD)

    asyncssh.set_log_level(logging.WARNING)
    keys = [asyncssh.generate_private_key("ssh-ed25519")]
    files = _sessions(folder, failure)
    return await asyncssh.listen("127.0.0.1", 0, server_factory=Account, server_host_keys=keys, sftp_factory=files)


async def _close(acceptor: asyncssh.SSHAcceptor, connections: set[Any]) -> None:
    acceptor.close()
    for connection in connections:
        connection.abort()
    await asyncio.gather(*(connection.wait_closed() for connection in connections), return_exceptions=True)
    await asyncio.sleep(0)


def _sessions(folder: Path, failure: Failure) -> Callable[[Any], asyncssh.SFTPServer]:
    import asyncssh

    requests = {name: _request(getattr(asyncssh.SFTPServer, name), failure) for name in _REQUESTS}
    session = type("Session", (asyncssh.SFTPServer,), requests)
    return lambda channel: session(channel, chroot=str(folder).encode())


def _request(carry_out: Callable[..., Any], failure: Failure) -> Callable[..., Any]:
    async def request(session: asyncssh.SFTPServer, *args: Any) -> Any:
        name = carry_out.__name__
        if name == "posix_rename" and not failure.extensions:
            from asyncssh import SFTPOpUnsupported

            raise SFTPOpUnsupported("no such request")
        if any(isinstance(part, bytes) and len(part) > _MAX_MESSAGE for part in args):
            session.connection.abort()
        if not failure.meets(name):
            return carry_out(session, *args)
        if failure.how == "cut after it" or name == "close":  # or the file would stay open
            carry_out(session, *args)
        if failure.how != "stall":
            session.connection.abort()
        failure.reached.set()
        await session.connection.wait_closed()
        raise ConnectionResetError

    return request
