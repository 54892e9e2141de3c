# SPDX-License-Identifier: Apache-2.0
"""Idempotency keys, as EvoLink's own clients use them; EvoLink's documentation does not mention them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ResponseBody = Mapping[str, Any]

_VALID = re.compile(r"[A-Za-z0-9._-]{16,96}")


class IdempotencyConflictError(Exception):
    """The idempotency key was used for another request."""


class RequestPendingError(Exception):
    """The request that first used the idempotency key is still being accepted."""


@dataclass
class Claim:
    """A request's claim on its idempotency key.

    :param digest: SHA-256 of the request.
    :param response: body of its response; None until the request is accepted.
    """

    digest: str
    response: ResponseBody | None = None


def is_valid(key: str) -> bool:
    """Return whether an idempotency key has the required form: 16 to 96 characters of ``A-Za-z0-9._-``."""
    return _VALID.fullmatch(key) is not None


class IdempotencyKeys:
    """The idempotency keys in use, each with its request and response."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}

    def replay(self, key: str, digest: str) -> ResponseBody | None:
        """Return the response to an earlier, identical request; None if the idempotency key is new.

        :param key: the idempotency key.
        :param digest: SHA-256 of the request.
        :raises IdempotencyConflictError: the idempotency key belongs to another request.
        :raises RequestPendingError: the same request is still being accepted.
        """
        claim = self._claims.get(key)
        if claim is None:
            return None
        if claim.digest != digest:
            raise IdempotencyConflictError
        if claim.response is None:
            raise RequestPendingError
        return claim.response

    @contextmanager
    def claim(self, key: str | None, digest: str) -> Iterator[Claim]:
        """Hold an idempotency key while a request is being accepted; a rejected request frees it again.

        :param key: the idempotency key, if the request has one.
        :param digest: SHA-256 of the request.
        :return: the claim, whose ``response`` the caller sets.
        """
        claim = Claim(digest)
        if key:
            self._claims[key] = claim
        try:
            yield claim
        finally:
            if key and claim.response is None:
                del self._claims[key]
