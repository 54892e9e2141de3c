# SPDX-License-Identifier: Apache-2.0
"""An event loop that ends when its work does, whatever its threads are still waiting for."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class PromptEventLoop(asyncio.SelectorEventLoop):
    """
    Looks names up in daemon threads, and waits for no thread when it is closed.

    A resolver that gets no answer holds its thread for a minute and more. With the default executor that thread would
    hold up the end of the loop, and the end of the process, long after the request was given up.
    """

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        """Look a name up."""
        return await asyncio.wrap_future(_in_daemon_thread(lambda: socket.getaddrinfo(host, port, **hints)), loop=self)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio calls it so
        """Leave threads alone; ``close()`` lets go of their executor without waiting for them."""


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
