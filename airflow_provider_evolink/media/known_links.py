# SPDX-License-Identifier: Apache-2.0
"""The links that this process knows: what is uploaded once need not be uploaded again while its link lives."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_evolink.api.settings import Settings

# Seconds that a link has to live on, at least, when it is sent: EvoLink may fetch it only when the generation begins.
MARGIN_SECONDS = 3600.0
_MAX_ACCOUNTS, _MAX_LINKS = 16, 50_000


@dataclass(frozen=True, slots=True)
class MediaLinks:
    """The links of a request's media.

    :param links: by the identity of the media, see :mod:`~airflow_provider_evolink.api.pending_media`.
    :param expire_at: when the first of them dies, in seconds since the epoch.
    """

    links: dict[str, str]
    expire_at: float


@dataclass
class KnownLinks:
    """Links of one account by the identity of their media."""

    _links: dict[str, tuple[str, float]] = field(default_factory=dict)

    def get(self, identity: str, *, now: float) -> tuple[str, float] | None:
        """Return a link that lives for an hour yet, and when it dies; ``None`` if there is none.

        :param now: seconds since the epoch.
        """
        link, expires_at = self._links.get(identity, ("", 0.0))
        return (link, expires_at) if expires_at - MARGIN_SECONDS > now else None

    def put(self, identity: str, link: str, expires_at: float) -> None:
        """Remember a link, until it dies."""
        if len(self._links) >= _MAX_LINKS:
            self._links.pop(next(iter(self._links)))
        self._links[identity] = (link, expires_at)

    def forget_all(self) -> None:
        """Forget every link, as one of them may have died."""
        self._links.clear()

    def put_all(self, links: Mapping[str, str], expire_at: float) -> None:
        """Remember the links of an earlier request.

        :param expire_at: when the first of them dies.
        """
        for identity, link in links.items():
            if self._links.get(identity, ("", 0.0))[1] < expire_at:
                self.put(identity, link, expire_at)


def known_links(settings: Settings) -> KnownLinks:
    """Return the links of an account that this process knows."""
    account = f"{settings.base_url}\n{settings.api_key}".encode()
    return _of_account(hashlib.sha256(account).hexdigest())


@functools.lru_cache(maxsize=_MAX_ACCOUNTS)
def _of_account(account: str) -> KnownLinks:  # noqa: ARG001 - the key of the cache
    return KnownLinks()


def forget_links() -> None:
    """Forget all links, as when the files behind them are gone."""
    _of_account.cache_clear()
