# SPDX-License-Identifier: Apache-2.0
"""Connections, looked up without blocking an event loop."""

from __future__ import annotations

from airflow.sdk import BaseHook, Connection


async def get_async_connection(conn_id: str, hook: type[BaseHook]) -> Connection:
    """Look up a connection as a hook does, without blocking the event loop.

    :raises AirflowNotFoundException: there is no connection with this id.
    """
    if hasattr(Connection, "aextra_dejson"):
        return await hook.aget_connection(conn_id)
    # Before 3.3.2 aget_connection masks the extra with a blocking call, which fails in a worker whose event loop has
    # another request to Airflow in flight. Airflow's own compat provider also uses a thread there, from 1.23 on.
    # It has to be a thread of asgiref's: from any other, Airflow 3.1 sends its request in an event loop of its own,
    # which ends the whole triggerer ("bound to a different event loop").
    from asgiref.sync import sync_to_async

    return await sync_to_async(hook.get_connection, thread_sensitive=False)(conn_id)
