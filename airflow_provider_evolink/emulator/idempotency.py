# SPDX-License-Identifier: Apache-2.0
"""Idempotency keys, as EvoLink's own clients use them; EvoLink's documents do not mention them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Answer = Mapping[str, Any]

_VALID = re.compile(r"[A-Za-z0-9._-]{16,96}")


class KeyConflictError(Exception):
    """The key was used for another request."""


class KeyBusyError(Exception):
    """The request that used the key first is still being accepted."""


@dataclass
class Claim:
    """A request's hold on its key.

    :param digest: tells the request from others.
    :param answer: what it was answered, once it is.
    """

    digest: str
    answer: Answer | None = None


def is_valid(key: str) -> bool:
    """Tell whether a key has the form the gateway takes: 16 to 96 of `A-Za-z0-9._-`."""
    return _VALID.fullmatch(key) is not None


class Keys:
    """Remembers which request each key paid for."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}

    def recall(self, key: str, digest: str) -> Answer | None:
        """Return what this very request was answered before; None if the key is new.

        :param key: the idempotency key.
        :param digest: tells the request from others.
        :raises KeyConflictError: the key belongs to another request.
        :raises KeyBusyError: the same request is still being accepted.
        """
        claim = self._claims.get(key)
        if claim is None:
            return None
        if claim.digest != digest:
            raise KeyConflictError
        if claim.answer is None:
            raise KeyBusyError
        return claim.answer

    @contextmanager
    def claim(self, key: str | None, digest: str) -> Iterator[Claim]:
        """Hold a key while a request is accepted; a request that is refused leaves no trace.

        :param key: the idempotency key, if there is one.
        :param digest: tells the request from others.
        :return: the claim; put the answer into it.
        """
        claim = Claim(digest)
        if key:
            self._claims[key] = claim
        try:
            yield claim
        finally:
            if key and claim.answer is None:
                del self._claims[key]
