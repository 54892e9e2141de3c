# SPDX-License-Identifier: Apache-2.0
"""Media whose link is not known yet: a request names it by its content, and gets the link just before it is sent. Pure.

So a request stays the same, whatever link its media get: it is the content that is paid for once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_PREFIX = "evolink-media:"


@dataclass(frozen=True, slots=True)
class PendingMedia:
    """One media value of a request that EvoLink gets as a link.

    :param identity: ``sha256:<hex>`` of the content of a file, or ``generation:<id>/<index>`` for a result.
    :param parameter: the parameter that takes it, such as ``image_urls[0]``.
    :param source: where it comes from, for texts: a path, a URI without credentials, or a generation's result.
    :param content_type: such as ``image/png``; None if it is not known.
    :param size: in bytes; None if it is not known.
    :param link: a link that can be sent as it is until ``link_expires_at``; None if it must be uploaded.
    :param link_expires_at: when the link dies, in seconds since the epoch; None without a link.
    :param landed_sha256: the hash, in hex, of the file that a result has landed as; None if it has not.
    :param open: opens the content for an upload, at its beginning; None if only the link is left. Blocks; raises
        OSError, ValueError or ImportError if it can't be read, ConnectionError or TimeoutError if a retry may help.
    """

    identity: str
    parameter: str
    source: str
    content_type: str | None = None
    size: int | None = None
    link: str | None = field(default=None, repr=False)
    link_expires_at: float | None = None
    landed_sha256: str | None = None
    open: Callable[[], BinaryIO] | None = field(default=None, compare=False, repr=False)

    @property
    def placeholder(self) -> str:
        """The text that stands for the link in the body of a request."""
        return placeholder(self.identity)

    @property
    def sha256(self) -> str | None:
        """The hash, in hex, that the content must have; None if nobody knows it."""
        kind, _, digest = self.identity.partition(":")
        return digest if kind == "sha256" else self.landed_sha256


def placeholder(identity: str) -> str:
    """Return the text that stands for the link of a media value in the body of a request."""
    return f"{_PREFIX}{identity}"


def is_placeholder(text: str) -> bool:
    """Return whether a text stands for a link that is not known yet."""
    return text.startswith(_PREFIX)


def with_sources(value: Any, pending: Collection[PendingMedia]) -> Any:
    """Return a value for an error: with what the user passed in the place of each placeholder."""
    if isinstance(value, Mapping):
        return {name: with_sources(inner, pending) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_sources(inner, pending) for inner in value]
    return next((media.source for media in pending if media.placeholder == value), value)


def fill_in(body: bytes, identities: Collection[str], links: Mapping[str, str]) -> bytes:
    """Replace the placeholders in a JSON body by links; the same links give the same bytes.

    Only a JSON string that is a placeholder as a whole is replaced, never a part of a longer text.

    :param body: JSON in UTF-8.
    :param identities: whose placeholders the body holds.
    :param links: the links by identity.
    :raises KeyError: a link is missing; its argument is the identity.
    """
    tokens = {_json(placeholder(identity)): _json(links[identity]) for identity in identities}
    if not tokens:
        return body
    # One pass, so that a link is never taken for a placeholder. A quote inside a text follows a backslash.
    pattern = rb"(?<!\\)(?:" + b"|".join(map(re.escape, tokens)) + b")"
    return re.sub(pattern, lambda match: tokens[match[0]], body)


def _json(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()
