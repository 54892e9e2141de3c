# SPDX-License-Identifier: Apache-2.0
"""Lands one result: skips it if it is there, else fetches it, with a new link if need be, and puts it in place."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from airflow_provider_evolink.api.errors import (
    EvoLinkError,
    FileConflictError,
    GenerationNotFoundError,
    LandingError,
    ResultCorruptError,
    ResultExpiredError,
)
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.checkpoint import Checkpoint, Landed
from airflow_provider_evolink.landing.download import LIMITS, Download, Limits, download
from airflow_provider_evolink.landing.existing import OnExisting, conflict
from airflow_provider_evolink.landing.filenames import Result, render
from airflow_provider_evolink.landing.media_types import MediaType
from airflow_provider_evolink.landing.safe_http import Network
from airflow_provider_evolink.landing.storage_errors import reason_of
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.landing.whole_file import WholeFile, is_same

log = logging.getLogger(__name__)

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


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
    :param on_existing: what happens to a file under the result's name that this task has not written.
    """

    destination: StorageTarget
    pattern: str
    network: Network
    checkpoint: Checkpoint
    renew: Callable[[Result], str | None]
    limits: Limits = LIMITS
    on_existing: OnExisting = OnExisting.FAIL

    def land(self, result: Result) -> Landed | None:
        """
        Copy a result into the destination, unless it is there already.

        :return: what lies where; ``None`` if another file lies there and ``on_existing`` says to skip it.
        :raises FileConflictError: another file lies under its name; it was left as it is.
        :raises LandingError: it could not be fetched, judged or written; no half file is left. A retry
            lands it again, and never generates it again.
        """
        try:
            return self._already_landed(result) or self._fetch_and_publish(result)
        except LandingError as error:
            advice = "" if error.permanent or "retry" in str(error) else " A retry lands it again, at no cost."
            message = f"Landing {result}, which is made and paid for, failed. {error}{advice}"
            raise type(error)(message, generation_id=result.generation_id) from error

    def _already_landed(self, result: Result) -> Landed | None:
        noted = self.checkpoint.get(result)
        if noted is None:
            return None
        place = self._target(result, noted.media_type)
        if place.uri != noted.uri or not storage.contains(place, noted.bytes, noted.sha256):
            return None
        storage.sweep(place)
        log.info("Already landed: %s is %s.", result, place.uri)
        return noted

    def _fetch_and_publish(self, result: Result) -> Landed | None:
        with _discarded(storage.new_spool(self.destination)) as spool:
            fetched = self._fetch(result, spool)
            place = self._target(result, fetched.media_type)
            landed = Landed(
                uri=place.uri,
                bytes=fetched.bytes,
                sha256=fetched.sha256,
                content_type=fetched.media_type.content_type,
                generation_id=result.generation_id,
                extension=fetched.media_type.extension,
            )
            if storage.contains(place, landed.bytes, landed.sha256):
                storage.sweep(place)
                self._record_existing(result, landed)
                return landed
            return landed if self._publish(spool, result, place, landed) else None

    def _record_existing(self, result: Result, landed: Landed) -> None:
        log.info("The same file is already at %s.", landed.uri)
        # A note of it that is there already says that this task has written it, and was killed before it could go on.
        if self.checkpoint.get(result) != landed:
            self.checkpoint.put(result, landed, written=False)

    def _publish(self, spool: BinaryIO, result: Result, place: StorageTarget, landed: Landed) -> bool:
        """Give the file its name; ``False`` if another has it and is to be left alone."""
        file = WholeFile(spool, landed.bytes, landed.content_type, result.generation_id)
        may_replace = self.on_existing is OnExisting.REPLACE or self._is_own(place)
        try:
            storage.publish(
                file,
                place,
                replace=may_replace,
                earlier_uploads=self.checkpoint.uploads_to(place.uri),
                began=lambda upload: self.checkpoint.put(result, landed, written=True, upload=upload),
            )
        except FileConflictError as error:
            self.checkpoint.put(result, landed, written=False)
            if not self._is_same(place, landed):
                return self._leave_existing(result, place, error)
        except LandingError:
            # The answer may have been lost.
            if not storage.contains(place, landed.bytes, landed.sha256):
                raise
        log.info("Landed %s: %s, %d bytes, sha256 %s.", result, place.uri, landed.bytes, landed.sha256)
        return True

    def _is_same(self, place: StorageTarget, landed: Landed) -> bool:
        """Whether another landing, or a try whose answer was lost, has put the same file there."""
        try:
            return is_same(place, landed.bytes, landed.sha256)
        except Exception as error:
            raise LandingError(
                f"At {place.uri} lies something that can't be read ({reason_of(error)}), so that it is not known "
                "whether it is this result; it was left as it is. on_existing='replace' replaces it unread."
            ) from error

    def _is_own(self, place: StorageTarget) -> bool:
        """Whether what lies there is what this task has written, as it has written it."""
        return any(storage.contains(place, own.bytes, own.sha256) for own in self.checkpoint.written_to(place.uri))

    def _leave_existing(self, result: Result, place: StorageTarget, error: FileConflictError) -> bool:
        text = conflict(result, place.uri, storage.generation_at(place), self.pattern)
        if self.on_existing is not OnExisting.SKIP:
            raise FileConflictError(text) from error
        log.warning("%s is skipped, as on_existing says. %s", result, text)
        return False

    def _fetch(self, result: Result, spool: BinaryIO) -> Download:
        began = time.monotonic()
        try:
            return self._download(result.link, spool, began)
        except (ResultExpiredError, ResultCorruptError) as failure:
            log.warning("The link of %s gives no file; EvoLink is asked for a new one. %s", result, failure)
            link = self._renew_link(result, failure)
        try:
            return self._download(link, spool, began)
        except ResultExpiredError as dead:
            raise _gone(result, f"{dead} So does the link EvoLink gives now.") from dead

    def _download(self, link: str, spool: BinaryIO, began: float) -> Download:
        try:
            return download(link, spool, self.network, self.limits, began=began)
        except LandingError as error:
            is_full = isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_ROOM
            if is_full and not self.destination.is_local:
                raise LandingError(f"{storage.no_room()}. {error}") from error
            raise

    def _renew_link(self, result: Result, failure: LandingError) -> str:
        try:
            link = self.renew(result)
        except GenerationNotFoundError as error:
            raise _without_link(result, failure, f"Asked for a new link, EvoLink did not help: {error}") from error
        except EvoLinkError as error:
            raise LandingError(f"{failure} Asked for a new link, EvoLink did not help: {error}") from error
        if link is None:
            raise _without_link(result, failure, "EvoLink has no link for it any more.")
        return link

    def _target(self, result: Result, kind: MediaType) -> StorageTarget:
        return self.destination / render(self.pattern, result, kind)


@contextmanager
def _discarded(spool: BinaryIO) -> Iterator[BinaryIO]:
    """Close a spool in the end; bytes that a full disk has left over in its buffer are of no use to anybody."""
    try:
        yield spool
    finally:
        with suppress(OSError):
            spool.close()


def _without_link(result: Result, failure: LandingError, facts: str) -> LandingError:
    """A link that answers with something else than the file may answer with the file yet; one that is dead won't."""
    if isinstance(failure, ResultCorruptError):
        return ResultCorruptError(f"{failure} {facts}")
    return _gone(result, f"{failure} {facts}")


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
