# SPDX-License-Identifier: Apache-2.0
"""A file system lives as long as its connection stays as it is."""

from __future__ import annotations

import pytest

from airflow_provider_evolink.compat import CONNECTION_NOT_FOUND
from airflow_provider_evolink.ui.file_systems import FileSystems
from airflow_provider_evolink.ui.roots import Root

CONNECTION = "aws://key:secret@/?region_name=us-east-1"


def test_a_file_system_is_kept_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """One file system serves all roots of a connection, until the connection has another content."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", CONNECTION)
    systems = FileSystems()
    first = systems.of(Root("s3", "bucket/a", "store"))
    assert systems.of(Root("s3", "bucket/b", "store")) is first
    monkeypatch.setenv("AIRFLOW_CONN_STORE", CONNECTION.replace("secret", "new"))
    second = systems.of(Root("s3", "bucket/a", "store"))
    assert second is not first
    assert systems.of(Root("s3", "bucket/b", "store")) is second


def test_a_connection_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its connection a root is not read, neither with the machine's own credentials nor as it was before."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", CONNECTION)
    systems = FileSystems()
    assert systems.of(Root("s3", "bucket/a", "store"))
    monkeypatch.delenv("AIRFLOW_CONN_STORE")
    with pytest.raises(CONNECTION_NOT_FOUND):
        systems.of(Root("s3", "bucket/a", "store"))
