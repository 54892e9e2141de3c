# SPDX-License-Identifier: Apache-2.0
"""A connection of type ``http`` means the same URL to ``EvoLinkHook`` as to the http provider's hook."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.http.hooks.http import HttpHook

from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.hooks.evolink import EvoLinkHook

Origin = tuple[str, str | None, int]


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> tuple[HttpHook, EvoLinkHook]:
    """Return both hooks for the same connection."""
    connection = {"conn_type": "http", "password": "sk-planted-key-4711", **fields}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY", json.dumps(connection))
    return HttpHook(http_conn_id="gateway"), EvoLinkHook("gateway")


def origin(url: str) -> Origin:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}[parts.scheme]


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "https://api.evolink.ai"},
        {"host": "https://api.evolink.ai/"},
        {"host": "https://api.evolink.ai", "schema": "http"},
        {"host": "https://gateway.example.com", "port": 8443},
        {"host": "https://gateway.example.com:8443"},
        {"host": "HTTPS://Gateway.Example.com"},
        {"host": "api.evolink.ai", "schema": "https"},
        {"host": "api.evolink.ai", "schema": "https", "port": 443},
        {"host": "gateway.example.com", "schema": "https", "port": 8443},
        {"host": "gateway.example.com:8443", "schema": "https"},
        {"host": "[2001:db8::1]", "schema": "https", "port": 8443},
        {"host": "http://127.0.0.1:8080"},
        {"host": "127.0.0.1", "port": 8080},
        {"host": "localhost", "schema": "http"},
        {"host": "localhost"},
        {"host": "localhost", "schema": "", "port": 0},
        {"host": "https://localhost", "port": 80},
        {"host": "[::1]", "port": 8080},
    ],
    ids=str,
)
def test_both_hooks_use_the_same_origin(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]) -> None:
    """However an http connection is written, its requests go where HttpHook would send them."""
    theirs, ours = connect(monkeypatch, **fields)
    theirs.get_conn()

    assert origin(ours.settings.base_url) == origin(theirs.base_url)


@pytest.mark.parametrize("fields", [{"host": "api.evolink.ai"}, {"host": "api.evolink.ai", "port": 443}], ids=str)
def test_without_a_scheme_the_api_key_goes_over_https(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]) -> None:
    """Where HttpHook would default to plain http, requests to another machine go over https."""
    theirs, ours = connect(monkeypatch, **fields)
    theirs.get_conn()

    assert theirs.base_url.startswith("http://")
    assert ours.settings.base_url == "https://api.evolink.ai"


def test_explicit_plain_http_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API key is never sent to another machine in clear text, and the error names https."""
    _, ours = connect(monkeypatch, host="api.evolink.ai", schema="http")

    with pytest.raises(ConfigurationError, match=r"http://api\.evolink\.ai.*https"):
        _ = ours.settings


def test_an_evolink_connection_means_https(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same fields in a connection of type ``evolink`` need no schema."""
    _, ours = connect(monkeypatch, conn_type="evolink", host="api.evolink.ai")

    assert ours.settings.base_url == "https://api.evolink.ai"
