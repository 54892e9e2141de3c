# SPDX-License-Identifier: Apache-2.0
"""Lands one result: skips it if it is there, else fetches it, renewing a dead link once, and puts it in place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import BinaryIO

from airflow_provider_evolink.api.errors import EvoLinkError, LandingError, ResultExpiredError
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.download import LIMITS, Download, Limits, download
from airflow_provider_evolink.landing.kinds import Kind
from airflow_provider_evolink.landing.names import Result, render
from airflow_provider_evolink.landing.notes import Landed, Notes
from airflow_provider_evolink.landing.source import Network
from airflow_provider_evolink.landing.storage import Place

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lander:
    """
    Everything a landing needs but the result.

    :param destination: the folder.
    :param pattern: what files are called, see :func:`names.render`.
    :param network: how media hosts are reached.
    :param notes: what this task has landed before.
    :param renew: asks EvoLink for a result's link once more.
    :param limits: how much is taken, and how patiently.
    """

    destination: Place
    pattern: str
    network: Network
    notes: Notes
    renew: Callable[[Result], str | None]
    limits: Limits = LIMITS

    def land(self, result: Result) -> Landed:
        """
        Copy a result into the destination, unless it is there already.

        :raises LandingError: it could not be fetched, judged or written; no half file is left. A retry
            lands it again, and never generates it again.
        """
        try:
            return self._known(result) or self._fetch_and_keep(result)
        except LandingError as error:
            advice = "" if error.permanent else " A retry lands it again, at no cost."
            message = f"Landing {result}, which is made and paid for, failed. {error}{advice}"
            raise type(error)(message, generation_id=result.generation_id) from error

    def _known(self, result: Result) -> Landed | None:
        noted = self.notes.get(result)
        if noted is None:
            return None
        place = self._place(result, noted.kind)
        if place.uri != noted.uri or not storage.holds(place, noted.bytes, noted.sha256):
            return None
        log.info("Already landed: %s is %s.", result, place.uri)
        return noted

    def _fetch_and_keep(self, result: Result) -> Landed:
        with self._new_spool() as spool:
            fetched = self._fetch(result, spool)
            place = self._place(result, fetched.kind)
            if storage.holds(place, fetched.bytes, fetched.sha256):
                log.info("The same file is already at %s.", place.uri)
            else:
                storage.publish(spool, place, fetched.bytes, fetched.kind.content_type)
                log.info("Landed %s: %s, %d bytes, sha256 %s.", result, place.uri, fetched.bytes, fetched.sha256)
        landed = Landed(
            uri=place.uri,
            bytes=fetched.bytes,
            sha256=fetched.sha256,
            content_type=fetched.kind.content_type,
            generation_id=result.generation_id,
            extension=fetched.kind.extension,
        )
        self.notes.put(result, landed)
        return landed

    def _new_spool(self) -> BinaryIO:
        try:
            return storage.new_spool(self.destination)
        except OSError as error:
            raise LandingError(f"{self.destination.uri} can't be written to: {error.strerror}.") from error

    def _fetch(self, result: Result, spool: BinaryIO) -> Download:
        try:
            return download(result.link, spool, self.network, self.limits)
        except ResultExpiredError as dead:
            log.warning("The link of %s is dead; EvoLink is asked for a new one.", result)
            renewed = replace(result, link=self._renewed(result, dead))
        try:
            return download(renewed.link, spool, self.network, self.limits)
        except ResultExpiredError as dead:
            raise _gone(result, f"{dead} So does the link EvoLink gives now.") from dead

    def _renewed(self, result: Result, dead: ResultExpiredError) -> str:
        try:
            link = self.renew(result)
        except EvoLinkError as error:
            facts = f"{dead} Asked for a new link, EvoLink did not help: {error}"
            raise (_gone(result, facts) if error.permanent else LandingError(facts)) from error
        if link is None:
            raise _gone(result, f"{dead} EvoLink has no link for it any more.")
        return link

    def _place(self, result: Result, kind: Kind) -> Place:
        return self.destination / render(self.pattern, result, kind)


def _gone(result: Result, facts: str) -> LandingError:
    """A link that is refused within its life may be a firewall's mood; after it, there is nothing to wait for."""
    if result.expires_at and datetime.now(UTC) < _moment(result.expires_at):
        return LandingError(
            f"{facts} It is due to live until {result.expires_at}: a retry asks again, and costs nothing."
        )
    life = f"It was due to live until {result.expires_at}." if result.expires_at else "Most links live for 24 hours."
    return ResultExpiredError(f"{facts} {life} A retry can't bring it back: only a new, paid generation could.")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
