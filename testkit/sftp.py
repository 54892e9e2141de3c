# SPDX-License-Identifier: Apache-2.0
"""An SFTP server (asyncssh) on this machine."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncssh

_USER, _PASSWORD = "landing", "landing-password"


@dataclass(frozen=True)
class Sftp:
    """A running server, whose root is an empty folder.

    :param port: that it listens on.
    """

    port: int

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
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    acceptor = asyncio.run_coroutine_threadsafe(_listen(folder), loop).result(30)
    try:
        yield Sftp(acceptor.get_port())
    finally:
        loop.call_soon_threadsafe(acceptor.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _listen(folder: Path) -> asyncssh.SSHAcceptor:
    import asyncssh

    class Account(asyncssh.SSHServer):  # type: ignore[misc]
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (_USER, _PASSWORD)

    def files(channel: Any) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(channel, chroot=str(folder).encode())

    asyncssh.set_log_level(logging.WARNING)
    keys = [asyncssh.generate_private_key("ssh-ed25519")]
    return await asyncssh.listen("127.0.0.1", 0, server_factory=Account, server_host_keys=keys, sftp_factory=files)
