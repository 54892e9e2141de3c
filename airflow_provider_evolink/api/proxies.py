# SPDX-License-Identifier: Apache-2.0
"""Choose the proxy for a host: one rule for the API and for the hosts of results. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from airflow_provider_evolink.api.addresses import is_this_machine, literal_address
from airflow_provider_evolink.api.errors import ConfigurationError

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def proxy_for(url: str, configured: str | None, environment: Mapping[str, str]) -> str | None:
    """Choose the proxy for a URL.

    Loopback addresses are reached directly. The connection's proxy takes precedence over the environment's, and
    ``NO_PROXY`` exempts from the environment's proxies only.

    :param configured: the connection's ``proxy``.
    :param environment: proxies by scheme, with ``all`` and ``no``, as :func:`urllib.request.getproxies` returns them.
    :return: the proxy's URL, or None for a direct connection.
    :raises ConfigurationError: the chosen proxy is not an HTTP or HTTPS proxy.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    if is_this_machine(host):
        return None
    if configured:
        return _checked(configured, "The connection's proxy setting")
    chosen = environment.get(parts.scheme) or environment.get("all")
    if not chosen or _is_exempt(host, port, environment.get("no", "")):
        return None
    return _checked(chosen, f"The environment's {parts.scheme.upper()}_PROXY or ALL_PROXY")


def is_supported_proxy(proxy: object) -> bool:
    """Return whether this is the URL of an HTTP or HTTPS proxy, the kinds this package supports."""
    try:
        parts = urlsplit(proxy) if isinstance(proxy, str) else urlsplit("")
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _checked(proxy: str, source: str) -> str:
    url = proxy.strip() if _SCHEME.match(proxy.strip()) else f"http://{proxy.strip()}"
    if not is_supported_proxy(url):
        # The URL is not shown: it may contain a password.
        raise ConfigurationError(
            f"{source} is not a supported proxy: use http://host:port or https://host:port, or list the hosts to reach "
            "without the environment's proxy in NO_PROXY. Nothing was sent."
        )
    return url


def _is_exempt(host: str, port: int, exceptions: str) -> bool:
    return any(_covers(entry, host, port) for entry in re.split(r"[,\s]+", exceptions.lower()) if entry)


def _covers(entry: str, host: str, port: int) -> bool:
    """Return whether a ``NO_PROXY`` entry (domain, address, network or ``*``, optionally with a port) covers a host."""
    if entry == "*":
        return True
    address, network = literal_address(host), _network(entry)
    if network is not None:
        return address is not None and address in network
    domain, _, only_port = entry.partition(":")
    domain = domain.removeprefix("*").removeprefix(".").removesuffix(".")
    is_in_domain = f".{host.lower().removesuffix('.')}".endswith(f".{domain}")
    return bool(domain) and is_in_domain and only_port in {"", str(port)}


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None
