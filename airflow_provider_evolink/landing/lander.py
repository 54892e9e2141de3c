# SPDX-License-Identifier: Apache-2.0
"""Land one result: skip it if it is there already, otherwise download and publish it, renewing its link if needed."""

from __future__ import annotations

import errno
import functools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import BinaryIO

from airflow_provider_evolink.api.errors import (
    EvoLinkError,
    FileConflictError,
    GenerationNotFoundError,
    LandingError,
    ResultCorruptError,
    ResultExpiredError,
    ResultRefusedError,
)
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.checkpoint import Landed, Memory
from airflow_provider_evolink.landing.download import Download, download
from airflow_provider_evolink.landing.download_budget import LIMITS, Limits
from airflow_provider_evolink.landing.existing import OnExisting, conflict_message
from airflow_provider_evolink.landing.filenames import Result, render
from airflow_provider_evolink.landing.media_types import MediaType
from airflow_provider_evolink.landing.poster_file import add_poster
from airflow_provider_evolink.landing.poster_queue import PosterQueue
from airflow_provider_evolink.landing.safe_http import Network
from airflow_provider_evolink.landing.staged_file import StagedFile, matches
from airflow_provider_evolink.landing.storage_errors import describe
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.posters.painter import Painter

log = logging.getLogger(__name__)

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Lander:
    """Everything needed to land a result, except the result.

    :param destination: the folder.
    :param pattern: how files are named, see :func:`filenames.render`.
    :param network: how to reach media hosts.
    :param checkpoint: what this task has landed before.
    :param renew: asks EvoLink for a new link to a result; ``None`` if EvoLink has none.
    :param limits: the largest file allowed, and how long and how often a download is attempted.
    :param on_existing: what to do with a file of the same name that this task has not written.
    :param on_written: receives each file that was written.
    :param painter: draws the poster of each file; ``None`` = no posters.
    :param posters: adds them later; ``None`` = each before its file counts as landed.
    :param log: receives a line per file.
    """

    destination: StorageTarget
    pattern: str
    network: Network
    checkpoint: Memory
    renew: Callable[[Result], str | None]
    limits: Limits = LIMITS
    on_existing: OnExisting = OnExisting.FAIL
    on_written: Callable[[Result, Landed], None] = lambda *_: None
    painter: Painter | None = None
    posters: PosterQueue | None = None
    log: logging.Logger = log

    def land(self, result: Result) -> Landed | None:
        """Copy a result to the destination, unless it is there already.

        :return: the landed file; ``None`` if another file has its name and ``on_existing`` says to skip it.
        :raises FileConflictError: another file has its name; that file was left alone.
        :raises LandingError: it could not be downloaded, identified or written; no partial file is left. A retry
            lands it again, and never generates it again.
        """
        try:
            storage.check_credentials(self.destination)
            return self._already_landed(result) or self._download_and_publish(result)
        except LandingError as error:
            message = f"Landing {result} failed; the generation is made and paid for. {error.facts}"
            raise type(error)(message, advice=_retry_advice(error), generation_id=result.generation_id) from error

    def _already_landed(self, result: Result) -> Landed | None:
        entry = self.checkpoint.get(result)
        if entry is None:
            return None
        target = self._target(result, entry.media_type)
        if target.uri != entry.uri or not storage.contains(target, entry.bytes, entry.sha256):
            return None
        storage.remove_leftovers(target)
        self.log.info("Landed before: %s.", target.uri)
        return self._with_poster(replace(entry, storage_conn_id=target.conn_id), target)

    def _download_and_publish(self, result: Result) -> Landed | None:
        with _closing_quietly(storage.open_staging_file(self.destination)) as staging_file:
            fetched = self._fetch(result, staging_file)
            target = self._target(result, fetched.media_type)
            landed = Landed(
                uri=target.uri,
                bytes=fetched.bytes,
                sha256=fetched.sha256,
                content_type=fetched.media_type.content_type,
                generation_id=result.generation_id,
                extension=fetched.media_type.extension,
                storage_conn_id=target.conn_id,
            )
            if storage.contains(target, landed.bytes, landed.sha256):
                storage.remove_leftovers(target)
                self._record_existing(result, landed)
                return self._with_poster(landed, target, staging_file)
            if not self._publish(staging_file, result, target, landed):
                return None
            return self._with_poster(landed, target, staging_file, is_new=True)

    def _record_existing(self, result: Result, landed: Landed) -> None:
        self.log.info("The same file is there already: %s.", landed.uri)
        # An entry for it means that this task wrote it, and was killed before it could continue.
        if self.checkpoint.get(result) != landed:
            self.checkpoint.put(result, landed, written=False)

    def _publish(self, staging_file: BinaryIO, result: Result, target: StorageTarget, landed: Landed) -> bool:
        """Publish the file; ``False`` if another file has its name and is to be left alone."""
        file = StagedFile(staging_file, landed.bytes, landed.content_type, result.generation_id)
        may_replace = self.on_existing is OnExisting.REPLACE or self._is_own(target)
        try:
            storage.publish(
                file,
                target,
                replace=may_replace,
                earlier_upload_ids=self.checkpoint.uploads_to(target.uri),
                on_start=lambda upload_id: self.checkpoint.put(result, landed, written=True, upload_id=upload_id),
            )
        except FileConflictError as error:
            self.checkpoint.put(result, landed, written=False)
            if not self._is_same(target, landed):
                return self._leave_existing(result, target, error)
        except LandingError:
            # The file may have been written and only the response lost.
            if not storage.contains(target, landed.bytes, landed.sha256):
                raise
        else:
            self.on_written(result, landed)
        self.log.info("Landed: %s (%d bytes).", target.uri, landed.bytes)
        return True

    def _with_poster(
        self, landed: Landed, target: StorageTarget, file: BinaryIO | None = None, *, is_new: bool = False
    ) -> Landed:
        """Return a file that has landed, with its poster, if there can be one and it is not added later."""
        if self.painter is None:
            return landed
        add = functools.partial(
            add_poster,
            self.painter,
            landed,
            target,
            is_new=is_new,
            earlier={own.sha256 for own in self.checkpoint.written_to(target.uri)},
            replace_any=self.on_existing is OnExisting.REPLACE,
        )
        if self.posters is None:
            return replace(landed, has_poster=add(file))
        self.posters.put(landed.uri, add, file)
        return landed

    def _is_same(self, target: StorageTarget, landed: Landed) -> bool:
        """Return whether another landing, or an attempt whose response was lost, has put the same file there."""
        try:
            return matches(target, landed.bytes, landed.sha256)
        except Exception as error:
            raise LandingError(
                f"A file exists at {target.uri} that can't be read ({describe(error)}) and compared with this result; "
                "it was left alone. on_existing='replace' replaces it without reading it."
            ) from error

    def _is_own(self, target: StorageTarget) -> bool:
        """Return whether the existing file is exactly what this task has written."""
        return any(storage.contains(target, own.bytes, own.sha256) for own in self.checkpoint.written_to(target.uri))

    def _leave_existing(self, result: Result, target: StorageTarget, error: FileConflictError) -> bool:
        text = conflict_message(result, target.uri, storage.stored_generation_id(target), self.pattern)
        if self.on_existing is not OnExisting.SKIP:
            raise FileConflictError(text) from error
        self.log.warning("Skipped %s, because of on_existing='skip'. %s", result, text)
        return False

    def _fetch(self, result: Result, staging_file: BinaryIO) -> Download:
        started = time.monotonic()
        try:
            return self._download(result.link, staging_file, started)
        except (ResultExpiredError, ResultCorruptError) as failure:
            self.log.warning(
                "The link of %s does not lead to its file; asking EvoLink for a new one. %s", result, failure
            )
            link = self._renew_link(result, failure)
        try:
            return self._download(link, staging_file, started)
        except ResultExpiredError as error:
            raise _dead_link_error(result, f"{error} The new link from EvoLink is dead too.") from error

    def _download(self, link: str, staging_file: BinaryIO, started: float) -> Download:
        try:
            return download(link, staging_file, self.network, self.limits, started=started)
        except LandingError as error:
            is_disk_full = isinstance(error.__cause__, OSError) and error.__cause__.errno in _DISK_FULL
            if is_disk_full and not self.destination.is_local:
                raise LandingError(f"{storage.no_space_message()}. {error}") from error
            raise

    def _renew_link(self, result: Result, failure: LandingError) -> str:
        try:
            link = self.renew(result)
        except GenerationNotFoundError as error:
            facts = f"EvoLink gave no new link: {error.facts}"
            raise _no_link_error(result, failure, facts, advice=error.advice) from error
        except EvoLinkError as error:
            facts = f"{failure.facts} EvoLink gave no new link: {error.facts}"
            raise LandingError(facts, advice=error.advice) from error
        if link is None:
            raise _no_link_error(result, failure, "EvoLink no longer lists a link to it.")
        return link

    def _target(self, result: Result, media_type: MediaType) -> StorageTarget:
        return self.destination / render(self.pattern, result, media_type)


def _retry_advice(error: LandingError) -> str:
    """Return what a retry does, for an error that does not say so itself."""
    if error.advice:
        return error.advice
    if isinstance(error, ResultRefusedError):
        return "A retry is refused again."
    return "" if error.permanent else "A retry lands it again, at no cost: nothing is generated again."


@contextmanager
def _closing_quietly(staging_file: BinaryIO) -> Iterator[BinaryIO]:
    """Close a staging file in the end; it does not matter if a full disk can't take what is left in its buffer."""
    try:
        yield staging_file
    finally:
        with suppress(OSError):
            staging_file.close()


def _no_link_error(result: Result, failure: LandingError, facts: str, *, advice: str = "") -> LandingError:
    """A link that returned something else may return the file later; a dead link won't."""
    if isinstance(failure, ResultCorruptError):
        return ResultCorruptError(f"{failure.facts} {facts}", advice=advice)
    return _dead_link_error(result, f"{failure.facts} {facts}")


def _dead_link_error(result: Result, facts: str) -> LandingError:
    """Before its expiry, a refused link may be temporary; after it, there is nothing to wait for."""
    if result.expires_at and datetime.now(UTC) < _parse_time(result.expires_at):
        return LandingError(
            f"{facts} It should be valid until {result.expires_at}, so this may be temporary.",
            advice="A retry tries again, at no cost.",
        )
    expiry = f"It expired at {result.expires_at}." if result.expires_at else "Most links expire after 24 hours."
    return ResultExpiredError(
        f"{facts} {expiry}", advice="A retry can't bring it back; only a new, paid generation can."
    )


def _parse_time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
