# SPDX-License-Identifier: Apache-2.0
"""An event loop that closes without waiting for name lookups that hang."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class DaemonResolverEventLoop(asyncio.SelectorEventLoop):
    """Resolve names in daemon threads, and wait for no thread on close.

    A resolver that gets no response blocks its thread for a minute or more. In the default executor that thread would
    delay the end of the loop, and of the process, long after the request has timed out.
    """

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        """Resolve a name."""
        return await asyncio.wrap_future(_in_daemon_thread(lambda: socket.getaddrinfo(host, port, **hints)), loop=self)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's name
        """Do nothing: ``close()`` drops the executor without waiting for its threads."""


def _in_daemon_thread(call: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="evolink-lookup", daemon=True).start()
    return future
