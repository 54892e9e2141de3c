# SPDX-License-Identifier: Apache-2.0
"""An event loop that ends when it should: name lookups that hang don't delay it, and no interruption gets lost.

Also a way to call, from within a loop, what starts one of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


# What asyncio's report of an error says if the error was raised in a callback.
_IN_CALLBACK = {"handle", "transport"}


class DaemonResolverEventLoop(asyncio.SelectorEventLoop):
    """Resolve names in daemon threads, and wait for no thread on close.

    A resolver that gets no response blocks its thread for a minute or more. In the default executor that thread would
    delay the end of the loop, and of the process, long after the request has timed out.
    """

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        """Resolve a name."""
        return await in_daemon_thread(lambda: socket.getaddrinfo(host, port, **hints))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Let an interruption pass that a signal has raised in a callback, such as the timeout of an Airflow task."""
        error = context.get("exception")
        if isinstance(error, BaseException) and not isinstance(error, Exception) and _IN_CALLBACK & context.keys():
            raise error
        super().call_exception_handler(context)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's name
        """Do nothing: ``close()`` drops the executor without waiting for its threads."""


def outside_event_loop(call: Callable[[], T]) -> T:
    """Call a function that starts an event loop of its own: in another thread if this one has a running loop.

    It blocks until the function returns. What makes Airflow's file system for S3 is such a function (amazon 9.39).
    """
    if not is_loop_running():
        return call()
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="evolink") as pool:
        return pool.submit(context.run, call).result()


def is_loop_running() -> bool:
    """Return whether this thread runs an event loop."""
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return False


async def in_daemon_thread(call: Callable[[], T]) -> T:
    """Call a function that blocks, in a thread that delays the end of neither the loop nor the process."""
    return await asyncio.wrap_future(_start_daemon_thread(call))


def _start_daemon_thread(call: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(context.run(call))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="evolink", daemon=True).start()
    return future
