# SPDX-License-Identifier: Apache-2.0
"""The settings of one EvoLink account, read from the fields of an Airflow connection. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from airflow_provider_evolink.api.addresses import is_this_machine
from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.api.proxies import is_supported_proxy, proxy_for
from airflow_provider_evolink.api.wording import shorten

DEFAULT_HOST = "https://api.evolink.ai"
# Documented: files have a host of their own, with the same API key.
_DEFAULT_FILES_HOST = "https://files-api.evolink.ai"
# Undocumented: the host of all result links observed so far.
_RESULTS_HOST = "https://files.evolink.ai"

_EXTRAS = ("timeout", "submit_timeout", "verify", "proxy")
_HOSTNAME = re.compile(r"[\w.-]+|[0-9a-f:.]+", re.ASCII)
_API_KEY_FIELDS = frozenset({"api_key", "apikey", "api-key", "key", "token", "password", "authorization"})
_API_KEY_PREFIX = re.compile(
    r"(authorization\s*[:=]\s*)?bearer(\s*[:=]\s*|\s+)|(authorization|(evolink[_-])?api[_-]?key|token)\s*[:=]\s*",
    re.IGNORECASE,
)
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Settings:
    """One account at one host.

    :param base_url: scheme, host and port of the API.
    :param api_key: sent in the ``Authorization`` header to ``base_url`` and ``files_url``, nowhere else.
    :param files_url: scheme, host and port of the files API.
    :param timeout: seconds to wait for the next bytes of the response to a read.
    :param submit_timeout: the same for a submission.
    :param verify: whether to verify TLS certificates, or the path of a CA bundle or of a folder of CA certificates.
    :param proxy: URL of a proxy for the API and for the hosts of results; by default, the environment decides.
    :param conn_id: the Airflow connection it comes from, for errors.
    """

    base_url: str = DEFAULT_HOST
    api_key: str = field(default="", repr=False)
    files_url: str = _DEFAULT_FILES_HOST
    timeout: float = 15.0
    submit_timeout: float = 30.0
    verify: bool | str = True
    proxy: str | None = field(default=None, repr=False)
    conn_id: str | None = field(default=None, compare=False)

    @property
    def is_loopback(self) -> bool:
        """Whether the API's host is this machine, as with the emulator."""
        return is_this_machine(urlsplit(self.base_url).hostname or "")


def read_settings(
    conn_id: str,
    *,
    host: str | None,
    schema: str | None,
    port: int | None,
    password: str | None,
    extra: Mapping[str, Any],
    login: str | None = None,
) -> Settings:
    """Read and validate a connection's fields.

    :param password: the API key.
    :param login: only read to report an API key in the wrong field.
    :param extra: only ``timeout``, ``submit_timeout`` (seconds, 1 to 600), ``verify`` and ``proxy`` are used; anything
        else is ignored and never sent.
    :raises ConfigurationError: no API key, or an invalid value; the message names the connection and the field.
    """
    api_key = _api_key(conn_id, password, login=login, extra=extra)
    base_url = _base_url(conn_id, host, schema, port)
    settings = Settings(
        conn_id=conn_id,
        base_url=base_url,
        api_key=api_key,
        files_url=_DEFAULT_FILES_HOST if base_url == DEFAULT_HOST else base_url,
        **_extras(conn_id, extra),
    )
    if base_url.startswith("http://") and not settings.is_loopback:
        raise ConfigurationError(
            f"Connection {conn_id!r} would send the API key over plain http to {base_url}: use https. Nothing was sent."
        )
    _check_proxies(settings, getproxies())
    return settings


def _check_proxies(settings: Settings, environment: Mapping[str, str]) -> None:
    """Reject an unsupported proxy before anything is paid for that would have to come through it."""
    result_hosts = (_RESULTS_HOST,) if settings.base_url == DEFAULT_HOST else ()
    for url in (settings.base_url, settings.files_url, *result_hosts):
        proxy_for(url, settings.proxy, environment)


def _base_url(conn_id: str, host: str | None, schema: str | None, port: int | None) -> str:
    text = (host or "").strip()
    if not text:
        return DEFAULT_HOST
    try:
        parts = urlsplit(text if "://" in text else f"{schema or 'https'}://{text}")
        # Airflow's UI stores 0 if there is no port.
        effective_port = parts.port or port or None
    except ValueError:
        parts, effective_port = urlsplit(""), None
    if not _is_origin(parts):
        raise ConfigurationError(
            f"Connection {conn_id!r} has an invalid host: must be a scheme, a host and optionally a port, such "
            f"as {DEFAULT_HOST}. Nothing was sent."
        )
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    is_default = effective_port in (None, _DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{name}" + ("" if is_default else f":{effective_port}")


def _is_origin(parts: SplitResult) -> bool:
    """Return whether a URL has a scheme, a host and optionally a port, and nothing else."""
    extra_parts = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    return parts.scheme in _DEFAULT_PORTS and _HOSTNAME.fullmatch(parts.hostname or "") is not None and not extra_parts


def _api_key(conn_id: str, password: str | None, *, login: str | None, extra: Mapping[str, Any]) -> str:
    api_key = (password or "").strip()
    if not api_key:
        raise ConfigurationError(
            f"Connection {conn_id!r} has no API key: {_missing_api_key_advice(login, extra)}. Nothing was sent."
        )
    if problem := _api_key_problem(api_key):
        raise ConfigurationError(f"Connection {conn_id!r} has an API key that {problem}. Nothing was sent.")
    return api_key


def _missing_api_key_advice(login: str | None, extra: Mapping[str, Any]) -> str:
    if (login or "").strip():
        return "move it from the login to the password field"
    misplaced = next((name for name in extra if name.lower() in _API_KEY_FIELDS), None)
    if misplaced:
        return f"move it from {misplaced!r} in the extra to the password field"
    return "put it in the password field"


def _api_key_problem(api_key: str) -> str | None:
    """Describe what was pasted along with an API key, or which characters are invalid, without showing the API key."""
    if prefix := _API_KEY_PREFIX.match(api_key):
        return f"starts with {prefix[0].strip()!r}: remove that, it is added automatically"
    if api_key[0] in _QUOTES or api_key[-1] in _QUOTES:
        return "is in quotation marks: remove them"
    if any(char.isspace() for char in api_key):
        return "contains a space or line break: paste the API key only"
    if not api_key.isascii() or not api_key.isprintable():
        return "contains invisible characters or characters other than ASCII: copy it again"
    return None


def _extras(conn_id: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: extra[name] for name in _EXTRAS if extra.get(name) not in (None, "")}
    for name in ("timeout", "submit_timeout"):
        if name in values:
            values[name] = _seconds(conn_id, name, values[name])
    if not isinstance(values.get("verify", True), bool | str):
        raise _invalid_extra(conn_id, "verify", values["verify"], "true, false or the path of a CA bundle or folder")
    if "proxy" in values and not is_supported_proxy(values["proxy"]):
        # Not shown: it may contain a password.
        raise _invalid_extra(conn_id, "proxy", "***", "a URL such as http://proxy.example.com:3128")
    if isinstance(values.get("verify"), str) and values["verify"].lower() in {"true", "false"}:
        values["verify"] = values["verify"].lower() == "true"
    return values


def _seconds(conn_id: str, name: str, value: object) -> float:
    try:
        seconds = float(str(value)) if isinstance(value, str | int | float) else -1.0
    except ValueError:
        seconds = -1.0
    if not 1 <= seconds <= 600:
        raise _invalid_extra(conn_id, name, value, "a number of seconds from 1 to 600")
    return seconds


def _invalid_extra(conn_id: str, name: str, value: object, allowed: str) -> ConfigurationError:
    shown = shorten(value)[:80]  # of a nested value, only each level is shortened
    return ConfigurationError(
        f"Connection {conn_id!r}: `{name}`={shown} is invalid: must be {allowed}. Nothing was sent."
    )
