# SPDX-License-Identifier: Apache-2.0
"""What the client needs to know about an account: pure reading of an Airflow connection's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from airflow_provider_evolink.api.addresses import is_this_machine
from airflow_provider_evolink.api.errors import ConfigurationError, shorten
from airflow_provider_evolink.api.proxies import is_usable, proxy_for

DEFAULT_HOST = "https://api.evolink.ai"
# Documented: files live on a host of their own, under the same key.
_DEFAULT_FILES_HOST = "https://files-api.evolink.ai"
# Undocumented: where the links of results lead that were seen so far.
_RESULTS_HOST = "https://files.evolink.ai"

_EXTRAS = ("timeout", "submit_timeout", "verify", "proxy")
_HOSTNAME = re.compile(r"[\w.-]+|[0-9a-f:.]+", re.ASCII)
_WHERE_THE_KEY_IS = "put it in the password field"
_NAMES_OF_KEYS = frozenset({"api_key", "apikey", "api-key", "key", "token", "password", "authorization"})
_PREFIX_OF_KEY = re.compile(
    r"(authorization\s*[:=]\s*)?bearer(\s*[:=]\s*|\s+)|(authorization|(evolink[_-])?api[_-]?key|token)\s*[:=]\s*",
    re.IGNORECASE,
)
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_USUAL_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Settings:
    """
    One account at one host.

    :param base_url: scheme, host and port of the API.
    :param api_key: sent in the ``Authorization`` header to ``base_url`` and ``files_url``, nowhere else.
    :param files_url: scheme, host and port of the files API.
    :param timeout: seconds to wait for bytes of an answer to a read.
    :param submit_timeout: the same for a submission.
    :param verify: whether to verify TLS, or the path of a CA bundle or of a folder of CA certificates.
    :param proxy: URL of an HTTP proxy for the API and for the hosts of results; ``None`` = what the environment says.
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
    """
    Judge a connection's fields.

    :param extra: only ``timeout``, ``submit_timeout`` (seconds), ``verify`` and ``proxy`` are read; anything else
        stays where it is and is never sent.
    :raises ConfigurationError: no key, or a value that can't be used; the text names the connection and the field.
    """
    key = _api_key(conn_id, password, login=login, extra=extra)
    base_url = _base_url(conn_id, host, schema, port)
    settings = Settings(
        base_url=base_url,
        api_key=key,
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
    """Refuse a proxy that can't be used before anything is paid for that would have to come through it."""
    results = (_RESULTS_HOST,) if settings.base_url == DEFAULT_HOST else ()
    for url in (settings.base_url, settings.files_url, *results):
        proxy_for(url, settings.proxy, environment)


def _base_url(conn_id: str, host: str | None, schema: str | None, port: int | None) -> str:
    text = (host or "").strip()
    if not text:
        return DEFAULT_HOST
    try:
        parts = urlsplit(text if "://" in text else f"{schema or 'https'}://{text}")
        # Airflow's UI stores 0 for no port.
        known_port = parts.port or port or None
    except ValueError:
        parts, known_port = urlsplit(""), None
    if not _is_origin(parts):
        raise ConfigurationError(
            f"Connection {conn_id!r} has an unusable host: give scheme and host only, such as {DEFAULT_HOST}. "
            "Nothing was sent."
        )
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    is_usual = known_port in (None, _USUAL_PORTS[parts.scheme])
    return f"{parts.scheme}://{name}" + ("" if is_usual else f":{known_port}")


def _is_origin(parts: SplitResult) -> bool:
    """Whether a URL has a scheme, a host and perhaps a port, and nothing else."""
    more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    return parts.scheme in _USUAL_PORTS and _HOSTNAME.fullmatch(parts.hostname or "") is not None and not more


def _api_key(conn_id: str, password: str | None, *, login: str | None, extra: Mapping[str, Any]) -> str:
    key = (password or "").strip()
    if not key:
        raise ConfigurationError(
            f"Connection {conn_id!r} has no API key: {_place_of_key(login, extra)}. Nothing was sent."
        )
    if problem := _problem_of_key(key):
        raise ConfigurationError(f"Connection {conn_id!r} has an API key that {problem}. Nothing was sent.")
    return key


def _place_of_key(login: str | None, extra: Mapping[str, Any]) -> str:
    if (login or "").strip():
        return "move it from the login to the password field"
    misplaced = next((name for name in extra if name.lower() in _NAMES_OF_KEYS), None)
    return f"move it from {misplaced!r} in the extra to the password field" if misplaced else _WHERE_THE_KEY_IS


def _problem_of_key(key: str) -> str | None:
    """Say what was pasted around a key, or what is wrong with its characters; never the key itself."""
    if prefix := _PREFIX_OF_KEY.match(key):
        return f"begins with {prefix[0].strip()!r}: leave that out, it is put before the key when it is sent"
    if key[0] in _QUOTES or key[-1] in _QUOTES:
        return "stands in quotation marks: leave those out"
    if any(char.isspace() for char in key):
        return "has a space or line break inside: paste the key alone"
    if not key.isascii() or not key.isprintable():
        return "has invisible characters, or such as no key has: copy it anew"
    return None


def _extras(conn_id: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: extra[name] for name in _EXTRAS if extra.get(name) not in (None, "")}
    for name in ("timeout", "submit_timeout"):
        if name in given:
            given[name] = _seconds(conn_id, name, given[name])
    if not isinstance(given.get("verify", True), bool | str):
        raise _refused(conn_id, "verify", given["verify"], "true, false or the path of a CA bundle or folder")
    if "proxy" in given and not is_usable(given["proxy"]):
        # Not shown: it may hold a password.
        raise _refused(conn_id, "proxy", "***", "a URL such as http://proxy.example.com:3128")
    if isinstance(given.get("verify"), str) and given["verify"].lower() in {"true", "false"}:
        given["verify"] = given["verify"].lower() == "true"
    return given


def _seconds(conn_id: str, name: str, value: object) -> float:
    try:
        seconds = float(str(value)) if isinstance(value, str | int | float) else -1.0
    except ValueError:
        seconds = -1.0
    if not 1 <= seconds <= 600:
        raise _refused(conn_id, name, value, "a number of seconds from 1 to 600")
    return seconds


def _refused(conn_id: str, name: str, value: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(
        f"Connection {conn_id!r}: {name}={shorten(value)} is refused: {allowed} is needed. Nothing was sent."
    )
