# SPDX-License-Identifier: Apache-2.0
"""A secrets backend with the connections of all contenders, which counts look-ups.

Airflow loads it through ``[secrets] backend`` while Airflow itself is being imported, so this module comes first.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow.secrets import BaseSecretsBackend

from benchmarks.endpoint import DBT, EVOLINK, PORT_VARIABLE

if TYPE_CHECKING:
    from airflow.sdk import Connection


class Connections(BaseSecretsBackend):
    """Derive a connection from its id; the stub's port comes from the environment."""

    lookups = 0

    def get_connection(self, conn_id: str, team_name: str | None = None) -> Connection:  # noqa: ARG002
        """Return a connection, the same for every team."""
        from airflow.sdk import Connection

        Connections.lookups += 1
        port = int(os.environ[PORT_VARIABLE])
        if conn_id == DBT:
            return Connection(conn_id=conn_id, conn_type="dbt_cloud", host=f"127.0.0.1:{port}", password="none")  # noqa: S106
        kind = "evolink" if conn_id == EVOLINK else "http"
        return Connection(conn_id=conn_id, conn_type=kind, host="https://127.0.0.1", port=port, password="none-at-all")  # noqa: S106

    async def aget_connection(self, conn_id: str) -> Connection:
        """Return a connection without a thread."""
        return self.get_connection(conn_id)
