# SPDX-License-Identifier: Apache-2.0
"""Parse links and redirects as browsers do (the WHATWG URL standard), as far as http and https need. Pure."""

from __future__ import annotations

import re
import string
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from airflow_provider_evolink.api.addresses import is_this_machine
from airflow_provider_evolink.api.errors import ResultRefusedError

_EDGES = "".join(map(chr, range(0x21)))
_LINE_BREAKS = re.compile(r"[\t\r\n]")
_SLASHES = re.compile(r"(https?:)?//+", re.IGNORECASE)
# Left as they are, and so is the percent sign; everything else is percent-encoded.
_IN_QUERY = "".join(sorted(set(string.punctuation) - set("\"#<>'")))
_IN_PATH = "".join(sorted(set(string.punctuation) - set('"#<>?^`{}')))


def parse(link: str) -> SplitResult:
    """Split a link into its parts.

    :raises ResultRefusedError: it is not an http or https link to a host, or contains a password. Permanent.
    """
    try:
        parts = urlsplit(_tidy(link))
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        _encoded(link)
    except ValueError:
        is_usable = False
    if not is_usable or "@" in parts.netloc:
        raise ResultRefusedError("The link is not an https link to a host, or contains a password.")
    return parts


def as_https(parts: SplitResult) -> SplitResult:
    """Return the same link over https: at the default port, unless the link names another one than http's default."""
    netloc = parts.netloc.removesuffix(":80") if parts.scheme == "http" else parts.netloc
    return parts._replace(scheme="https", netloc=netloc)


def is_plain_http(link: str) -> bool:
    """Return whether a link, by its text, leads to another machine over plain http."""
    parts = parse(link)
    return parts.scheme == "http" and not is_this_machine(parts.hostname or "")


def request_target(parts: SplitResult) -> str:
    """Return the request target: path and query in ASCII, without the fragment."""
    path = _quote(parts.path or "/", _IN_PATH)
    return f"{path}?{_quote(parts.query, _IN_QUERY)}" if parts.query else path


def resolve_redirect(link: str, location: str) -> str:
    """Return where a redirect leads.

    :param location: the header as :mod:`http.client` returns it: decoded as Latin-1, though servers mean UTF-8.
    :raises ResultRefusedError: it is not a link. Permanent.
    """
    try:
        return urljoin(_tidy(link), _tidy(location.encode("latin-1").decode("utf-8", "surrogateescape")))
    except ValueError:
        raise ResultRefusedError("The link is redirected to something that is not a link.") from None


def _tidy(link: str) -> str:
    """Remove the characters that browsers remove, and turn backslashes before the query into slashes."""
    stripped = _LINE_BREAKS.sub("", link.strip(_EDGES))
    head, mark, rest = re.match(r"([^?#]*)([?#]?)(.*)", stripped, re.DOTALL).groups()  # type: ignore[union-attr]
    head = head.replace("\\", "/")
    slashes = _SLASHES.match(head)
    if slashes:
        head = f"{slashes[1] or ''}//{head[slashes.end() :]}"
    return head + mark + rest


def _quote(text: str, safe: str) -> str:
    return quote(_encoded(text), safe=safe)


def _encoded(text: str) -> bytes:
    """Encode text as UTF-8; bytes of a redirect that were not UTF-8 stay as they were."""
    return text.encode("utf-8", "surrogateescape")
