# SPDX-License-Identifier: Apache-2.0
"""
A secrets backend that knows the connections of all contenders, and counts how often it is asked.

Airflow finds it through ``[secrets] backend``, while it is being imported itself; so it has to be imported first.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow.sdk.bases.secrets_backend import BaseSecretsBackend

from benchmarks.contenders import DBT, EVOLINK, PORT

if TYPE_CHECKING:
    from airflow.sdk import Connection


class Connections(BaseSecretsBackend):
    """Makes a connection out of its id; the stub's port comes from the environment."""

    asked = 0

    def get_connection(self, conn_id: str, team_name: str | None = None) -> Connection:  # noqa: ARG002
        """Return a connection, the same for every team."""
        from airflow.sdk import Connection

        Connections.asked += 1
        port = int(os.environ[PORT])
        if conn_id == DBT:
            return Connection(conn_id=conn_id, conn_type="dbt_cloud", host=f"127.0.0.1:{port}", password="none")  # noqa: S106
        kind = "evolink" if conn_id == EVOLINK else "http"
        return Connection(conn_id=conn_id, conn_type=kind, host="https://127.0.0.1", port=port, password="none-at-all")  # noqa: S106

    async def aget_connection(self, conn_id: str) -> Connection:
        """Return a connection, without a thread."""
        return self.get_connection(conn_id)
