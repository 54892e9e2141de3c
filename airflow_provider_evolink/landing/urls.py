# SPDX-License-Identifier: Apache-2.0
"""Reads links and redirects as browsers do (the WHATWG's URL standard), as far as http and https need. Pure."""

from __future__ import annotations

import re
import string
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from airflow_provider_evolink.api.addresses import is_this_machine
from airflow_provider_evolink.api.errors import ResultRefusedError

_EDGES = "".join(map(chr, range(0x21)))
_LINE_BREAKS = re.compile(r"[\t\r\n]")
_SLASHES = re.compile(r"(https?:)?//+", re.IGNORECASE)
# What stands for itself; anything else is percent-encoded, but a percent sign is left as it is.
_IN_QUERY = "".join(sorted(set(string.punctuation) - set("\"#<>'")))
_IN_PATH = "".join(sorted(set(string.punctuation) - set('"#<>?^`{}')))


def parse(link: str) -> SplitResult:
    """
    Take a link apart.

    :raises ResultRefusedError: it is no http or https link to a host, or carries a password. Lasting.
    """
    try:
        parts = urlsplit(_tidy(link))
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        _encoded(link)
    except ValueError:
        is_usable = False
    if not is_usable or "@" in parts.netloc:
        raise ResultRefusedError("The link is no https link to a host, or carries a password.")
    return parts


def secured(parts: SplitResult) -> SplitResult:
    """Return the same link over https: at its usual port, unless the link names an unusual one."""
    netloc = parts.netloc.removesuffix(":80") if parts.scheme == "http" else parts.netloc
    return parts._replace(scheme="https", netloc=netloc)


def is_plain_http(link: str) -> bool:
    """Whether a link leads to another machine over plain http, by its text."""
    parts = parse(link)
    return parts.scheme == "http" and not is_this_machine(parts.hostname or "")


def target(parts: SplitResult) -> str:
    """Return what stands in the request line: path and query in ASCII, without the fragment."""
    path = _quote(parts.path or "/", _IN_PATH)
    return f"{path}?{_quote(parts.query, _IN_QUERY)}" if parts.query else path


def redirected(link: str, location: str) -> str:
    """
    Follow a redirect.

    :param location: the header as :mod:`http.client` has it: bytes as Latin-1, though servers mean UTF-8.
    :raises ResultRefusedError: it is no link. Lasting.
    """
    try:
        return urljoin(_tidy(link), _tidy(location.encode("latin-1").decode("utf-8", "surrogateescape")))
    except ValueError:
        raise ResultRefusedError("The link is redirected to something that is no link.") from None


def _tidy(link: str) -> str:
    """Drop what browsers drop, and turn backslashes before the query into slashes."""
    clean = _LINE_BREAKS.sub("", link.strip(_EDGES))
    head, mark, rest = re.match(r"([^?#]*)([?#]?)(.*)", clean, re.DOTALL).groups()  # type: ignore[union-attr]
    head = head.replace("\\", "/")
    slashes = _SLASHES.match(head)
    if slashes:
        head = f"{slashes[1] or ''}//{head[slashes.end() :]}"
    return head + mark + rest


def _quote(text: str, safe: str) -> str:
    return quote(_encoded(text), safe=safe)


def _encoded(text: str) -> bytes:
    """Spell text as UTF-8; a redirect's bytes that were none stay what they were."""
    return text.encode("utf-8", "surrogateescape")
