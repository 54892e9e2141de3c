# SPDX-License-Identifier: Apache-2.0
"""What the client needs to know about an account: pure reading of an Airflow connection's fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_evolink.api.addresses import literal_address
from airflow_provider_evolink.api.errors import ConfigurationError

DEFAULT_HOST = "https://api.evolink.ai"
# Documented: files live on a host of their own, under the same key.
_DEFAULT_FILES_HOST = "https://files-api.evolink.ai"

_EXTRAS = ("timeout", "submit_timeout", "verify", "proxy")


@dataclass(frozen=True, slots=True)
class Settings:
    """
    One account at one host.

    :param base_url: scheme, host and port of the API.
    :param api_key: sent in the ``Authorization`` header to ``base_url`` and ``files_url``, nowhere else.
    :param files_url: scheme, host and port of the files API.
    :param timeout: seconds to wait for bytes of an answer to a read.
    :param submit_timeout: the same for a submission.
    :param verify: whether to verify TLS, or the path of a CA bundle.
    :param proxy: URL of an HTTP proxy for the API.
    """

    base_url: str = DEFAULT_HOST
    api_key: str = field(default="", repr=False)
    files_url: str = _DEFAULT_FILES_HOST
    timeout: float = 15.0
    submit_timeout: float = 30.0
    verify: bool | str = True
    proxy: str | None = field(default=None, repr=False)

    @property
    def is_loopback(self) -> bool:
        """Whether the API's own host is this machine, as it is with the emulator."""
        host = urlsplit(self.base_url).hostname or ""
        address = literal_address(host)
        return host == "localhost" or (address is not None and address.is_loopback)


def read_settings(
    conn_id: str,
    *,
    host: str | None,
    schema: str | None,
    port: int | None,
    password: str | None,
    extra: Mapping[str, Any],
) -> Settings:
    """
    Judge a connection's fields.

    :param extra: only ``timeout``, ``submit_timeout`` (seconds), ``verify`` and ``proxy`` are read; anything else
        stays where it is and is never sent.
    :raises ConfigurationError: no key, or a value that can't be used; the text names the connection and the field.
    """
    if not password or not password.strip():
        raise ConfigurationError(
            f"Connection {conn_id!r} has no API key: put it in the password field. Nothing was sent."
        )
    base_url = _base_url(conn_id, host, schema, port)
    settings = Settings(
        base_url=base_url,
        api_key=_header_safe(conn_id, password.strip()),
        files_url=_DEFAULT_FILES_HOST if base_url == DEFAULT_HOST else base_url,
        **_extras(conn_id, extra),
    )
    if base_url.startswith("http://") and not settings.is_loopback:
        raise ConfigurationError(
            f"Connection {conn_id!r} would send the API key over plain http to {base_url}: use https. Nothing was sent."
        )
    return settings


def _base_url(conn_id: str, host: str | None, schema: str | None, port: int | None) -> str:
    if not host:
        return DEFAULT_HOST
    text = host if "://" in host else f"{schema or 'https'}://{host}"
    try:
        parts = urlsplit(text.rstrip("/"))
        known_port = parts.port or port
    except ValueError:
        parts, known_port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.path or parts.query:
        raise ConfigurationError(
            f"Connection {conn_id!r} has an unusable host: give scheme and host only, such as {DEFAULT_HOST}. "
            "Nothing was sent."
        )
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{name}" + (f":{known_port}" if known_port else "")


def _header_safe(conn_id: str, key: str) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"Connection {conn_id!r} has an API key with characters no header can carry. Nothing was sent."
        )
    return key


def _extras(conn_id: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: extra[name] for name in _EXTRAS if extra.get(name) not in (None, "")}
    for name in ("timeout", "submit_timeout"):
        if name in given:
            given[name] = _seconds(conn_id, name, given[name])
    if isinstance(given.get("verify"), str) and given["verify"].lower() in {"true", "false"}:
        given["verify"] = given["verify"].lower() == "true"
    return given


def _seconds(conn_id: str, name: str, value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 1 <= seconds <= 600:
        raise ConfigurationError(
            f"Connection {conn_id!r}: {name}={value!r} is refused: a number of seconds from 1 to 600. Nothing was sent."
        )
    return seconds
