# SPDX-License-Identifier: Apache-2.0
"""Read the settings of an account from its Airflow connection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_evolink.api.addresses import is_this_machine
from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.api.settings import Settings, read_settings

if TYPE_CHECKING:
    from airflow.sdk import Connection


def settings_from(conn_id: str, connection: Connection) -> Settings:
    """Read the settings from a connection.

    :raises ConfigurationError: it can't be used; the message names the field and the reason.
    """
    if connection.conn_type not in {"evolink", "http"}:
        raise ConfigurationError(
            f"Connection {conn_id!r} has type {connection.conn_type!r}: must be evolink or http. Nothing was sent."
        )
    return read_settings(
        conn_id,
        host=connection.host,
        schema=_schema_of(connection),
        port=connection.port,
        login=connection.login,
        password=connection.password,
        extra=_extra(conn_id, connection.extra),
    )


def _schema_of(connection: Connection) -> str | None:
    """Return the scheme: HttpHook defaults to plain http, over which the API key may go to this machine only."""
    if connection.schema or connection.conn_type != "http":
        return connection.schema
    return "http" if is_this_machine(urlsplit(f"//{connection.host}").hostname or "") else "https"


def _extra(conn_id: str, text: str | None) -> Mapping[str, Any]:
    # Parsed here: extra_dejson would send the supervisor one more message per look-up.
    try:
        extra = json.loads(text or "{}")
    except (ValueError, RecursionError):
        extra = None
    if not isinstance(extra, dict):
        raise ConfigurationError(f"Connection {conn_id!r} has an extra that is not a JSON object. Nothing was sent.")
    return extra
