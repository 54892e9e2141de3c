# SPDX-License-Identifier: Apache-2.0
"""Which proxy stands before a host: one rule for the API and for the hosts of results. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from airflow_provider_evolink.api.addresses import is_this_machine, literal_address
from airflow_provider_evolink.api.errors import ConfigurationError

_USABLE = "http://host:port and https://host:port can be used"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def proxy_for(url: str, configured: str | None, environment: Mapping[str, str]) -> str | None:
    """
    Choose the proxy through which a URL is reached.

    This machine is reached without one. The connection's own proxy goes before those of the environment, and the
    exceptions of the environment (``NO_PROXY``) are exceptions to the environment's proxies only.

    :param configured: the connection's ``proxy``.
    :param environment: proxies by scheme, with ``all`` and ``no``, as :func:`urllib.request.getproxies` returns them.
    :return: the proxy's URL, or None where there is none.
    :raises ConfigurationError: the proxy that would be used is of a kind that can't be.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    if is_this_machine(host):
        return None
    if configured:
        return _usable(configured, "The connection's proxy setting")
    chosen = environment.get(parts.scheme) or environment.get("all")
    if not chosen or _is_exempt(host, port, environment.get("no", "")):
        return None
    return _usable(chosen, f"The environment's {parts.scheme.upper()}_PROXY or ALL_PROXY")


def is_usable(proxy: object) -> bool:
    """Whether a URL is that of a proxy this package can speak to: one over HTTP or HTTPS."""
    try:
        parts = urlsplit(proxy) if isinstance(proxy, str) else urlsplit("")
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _usable(proxy: str, name: str) -> str:
    url = proxy.strip() if _SCHEME.match(proxy.strip()) else f"http://{proxy.strip()}"
    if not is_usable(url):
        # The proxy itself is not shown: it may hold a password.
        raise ConfigurationError(
            f"{name} names no proxy that can be used: {_USABLE}, and NO_PROXY lists what is reached without the "
            "environment's proxy. Nothing was sent."
        )
    return url


def _is_exempt(host: str, port: int, exceptions: str) -> bool:
    return any(_covers(entry, host, port) for entry in re.split(r"[,\s]+", exceptions.lower()) if entry)


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether an entry of ``NO_PROXY`` (a domain, an address, a network, ``*``; perhaps with a port) covers a host."""
    if entry == "*":
        return True
    address, network = literal_address(host), _network(entry)
    if network is not None:
        return address is not None and address in network
    name, _, only_port = entry.partition(":")
    name = name.removeprefix("*").removeprefix(".").removesuffix(".")
    is_in_domain = f".{host.lower().removesuffix('.')}".endswith(f".{name}")
    return bool(name) and is_in_domain and only_port in {"", str(port)}


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None
