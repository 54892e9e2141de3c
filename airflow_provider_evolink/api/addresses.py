# SPDX-License-Identifier: Apache-2.0
"""Distinguish public addresses from private ones, however they are spelled.

Guards against server-side request forgery (SSRF), both for links that EvoLink will follow and for those it returns, and
against DNS rebinding: a host is resolved once, and the connection goes to the addresses that were checked.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_evolink.api.errors import InvalidInputError, ResultRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Address = IPv4Address | IPv6Address

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_EMBEDDING_IPV4 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
# Reserved by IANA, but global according to `ipaddress` in some supported versions of Python.
_ALSO_RESERVED = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))

_MAX_HOST = 255
_UNPRINTABLE = re.compile(r"[\s\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NETLOC = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@%]+)(:[0-9]*)?", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_-]+")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRIVATE_NAME = re.compile(
    r"[^.]+|(.*\.)?(localhost|local|localdomain|internal|intranet|private|corp|home|lan|home\.arpa)"
)


def literal_address(host: str) -> Address | None:
    """Parse a host that is an IP address, in any spelling that resolvers still accept.

    :param host: the host of a URL: dotted, decimal, hexadecimal, octal or short (``127.1``) IPv4, in digits of any
        script; IPv6 with or without brackets; one trailing dot is dropped.
    :return: the address, or None for a name. Never raises.
    """
    return _literal_address(host) if len(host) <= _MAX_HOST else None


@lru_cache(maxsize=256)
def _literal_address(host: str) -> Address | None:
    bare = host.removeprefix("[").removesuffix("]")
    try:
        if ":" in bare:
            return IPv6Address(bare)
        return IPv4Address(socket.inet_aton(_ascii(bare)))
    except (OSError, ValueError):
        return None


def is_public(address: str | Address) -> bool:
    """Return whether an address belongs to the public internet.

    An IPv6 address that embeds an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo) is public if that one is.

    :param address: an address, or its text in any spelling; text that is not an address is not public.
    """
    ip = literal_address(address) if isinstance(address, str) else address
    if ip is None or any(ip in network for network in _ALSO_RESERVED):
        return False
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_multicast
    embedded = _embedded(ip)
    if embedded:
        return all(map(is_public, embedded))
    return ip in _GLOBAL_UNICAST and ip.is_global


def is_this_machine(host: str) -> bool:
    """Return whether the host of a URL is, by its text alone, this machine; it is not resolved."""
    return host.lower().removesuffix(".") == "localhost" or _is_loopback(host)


def check_public_url(
    url: object,
    *,
    parameter: str,
    schemes: Sequence[str] = ("https",),
    max_length: int | None = None,
    allow_loopback: bool = False,
) -> None:
    """Reject a URL that EvoLink could not or must not follow; judged by its text, never resolved or fetched.

    :param url: the URL; an error shows it without its user name, password, query and fragment.
    :param parameter: name of the parameter in an error.
    :param schemes: the schemes allowed, in lower case.
    :param max_length: in characters.
    :param allow_loopback: accept http and https URLs of this machine, which an API on this machine can follow.
    :raises InvalidInputError: not such a URL, too long, contains a password, or has a private host.
    """
    problem = url_problem(url, schemes=schemes, max_length=max_length)
    if problem is not None and not (allow_loopback and _leads_to_loopback(url, max_length)):
        length = f" of at most {max_length} characters" if max_length is not None else ""
        allowed = f"a public {' or '.join(schemes)} URL{length}, but {problem}"
        raise InvalidInputError(parameter, without_secrets(url), allowed)


def url_problem(url: object, *, schemes: Sequence[str] = ("https",), max_length: int | None = None) -> str | None:
    """Return what is wrong with a URL that should lead to the public internet; None if nothing is.

    See :func:`check_public_url` for the parameters.

    :return: a clause, such as "its host or port is malformed".
    """
    if not isinstance(url, str):
        return "it is not text"
    if max_length is not None and len(url) > max_length:
        return f"it has {len(url)} characters"
    try:
        return _host_problem(_host_of(url, schemes))
    except ValueError as error:
        return str(error)


def vetted_addresses(
    host: str,
    port: int,
    *,
    allow_loopback: bool,
    resolve: Callable[..., Sequence[tuple[Any, ...]]] = socket.getaddrinfo,
) -> list[str]:
    """Resolve a host once and return the addresses to connect to, so that DNS can't change between check and use.

    :param host: a name, or an address in any spelling (which is not resolved).
    :param port: the port to connect to.
    :param allow_loopback: accept this machine, as the emulator needs.
    :param resolve: has the signature of :func:`socket.getaddrinfo`.
    :return: the addresses in the resolver's order, without duplicates.
    :raises ResultRefusedError: any of the addresses is not public, or the host is malformed. A retry is refused again.
    :raises OSError: the resolver failed. A retry may succeed.
    """
    literal = literal_address(host)
    try:
        found = [str(literal)] if literal else [info[4][0] for info in resolve(host, port, type=socket.SOCK_STREAM)]
    except ValueError:
        found = []
    if not found:
        raise ResultRefusedError(f"The host {host[:_MAX_HOST]!r} has no address to connect to.")
    for address in found:
        if not (is_public(address) or (allow_loopback and _is_loopback(address))):
            raise ResultRefusedError(
                f"The host {host[:_MAX_HOST]!r} resolves to {address}, which is not a public address."
            )
    return list(dict.fromkeys(found))


def _ascii(host: str) -> str:
    """Normalize a host as resolvers do: full-width digits, soft hyphens and capitals are gone."""
    if len(host) > _MAX_HOST:
        raise ValueError("a host is never that long")
    return host.encode("idna").decode("ascii").lower().removesuffix(".")


def _embedded(ip: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address embeds."""
    if ip.teredo:
        return ip.teredo
    mapped = ip.ipv4_mapped or ip.sixtofour
    if mapped:
        return (mapped,)
    if any(ip in network for network in _EMBEDDING_IPV4):
        return (IPv4Address(int(ip) & 0xFFFFFFFF),)
    return ()


def _leads_to_loopback(url: object, max_length: int | None) -> bool:
    if not isinstance(url, str) or len(url) > (max_length or len(url)):
        return False
    try:
        host = _host_of(url, ("http", "https"))
    except ValueError:
        return False
    return host == "localhost" or (_is_loopback(host) and str(literal_address(host)) == host)


def _is_loopback(address: str) -> bool:
    ip = literal_address(address)
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    return ip is not None and ip.is_loopback


def _host_of(url: str, schemes: Sequence[str]) -> str:
    """Return a URL's host.

    :raises ValueError: programs could disagree about which host it is; the message says why.
    """
    if _UNPRINTABLE.search(url):
        raise ValueError("it contains a space, control character or backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("it is malformed") from None
    if parts.scheme not in schemes:
        raise ValueError(f"it does not begin with {'// or '.join(f'{scheme}:' for scheme in schemes)}//")
    if "@" in parts.netloc:
        raise ValueError("it contains a user name or password")
    if port == 0 or not _NETLOC.fullmatch(parts.netloc):
        raise ValueError("its host or port is malformed")
    return parts.hostname or ""


def _host_problem(host: str) -> str | None:
    address = literal_address(host)
    if address is None:
        return _name_problem(host)
    if not is_public(address):
        return f"{address} is a private, loopback, link-local or reserved address"
    # Programs disagree about such spellings: 010.8.8.8 is 8.8.8.8 to some and 10.8.8.8 to others.
    if isinstance(address, IPv4Address) and str(address) != host:
        return f"its host is an unusual spelling of {address}"
    return None


def _name_problem(host: str) -> str | None:
    try:
        name = _ascii(host)
    except ValueError:
        return "its host is not a valid name"
    labels = name.split(".")
    if not all(map(_LABEL.fullmatch, labels)) or _NUMBER.fullmatch(labels[-1]):
        return "its host is not a valid name"
    if _PRIVATE_NAME.fullmatch(name):
        return f"{name} is a name for private networks only"
    return None


def without_secrets(url: object) -> object:
    """Remove what may be secret (a password, a signature in the query) and what is too long to read."""
    if not isinstance(url, str):
        return url
    return re.split(r"[?#]", re.sub(r"(?s)//.*@", "//", url[:2048]), maxsplit=1)[0]
