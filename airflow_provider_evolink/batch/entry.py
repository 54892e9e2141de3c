# SPDX-License-Identifier: Apache-2.0
"""What the ledger holds about one row of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError
from airflow_provider_evolink.batch.existing_files import ExistingFile
from airflow_provider_evolink.landing.checkpoint import Landed
from airflow_provider_evolink.submission.record import LedgerRecord, Phase, unreadable


class Status(StrEnum):
    """How far a row has got."""

    LANDED = "landed"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNDER_WAY = "under_way"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row has not landed.

    :param status: ``skipped``, ``failed`` or ``unfinished``.
    :param text: what happened, what it cost, and what a retry does.
    :param code: EvoLink's error code, or the name of the kind of error.
    :param is_permanent: whether a retry finds the same.
    :param try_number: the try that met it; within that try, the row is left alone.
    """

    status: Status
    text: str
    code: str | None
    is_permanent: bool
    try_number: int

    @classmethod
    def of(cls, error: EvoLinkError, try_number: int, status: Status = Status.FAILED) -> Problem:
        """Describe an error."""
        code = getattr(error, "code", None) or type(error).__name__.removesuffix("Error")
        text = error.refusal if isinstance(error, InvalidInputError) else str(error)
        return cls(status, text, code, error.permanent, try_number)


@dataclass(frozen=True, slots=True)
class RowEntry:
    """What the ledger holds about one row.

    :param key: of the row.
    :param pattern: the pattern of its file names, with the row's own fields filled in.
    :param record: its submission; ``None`` if nothing was ever sent for it.
    :param files: what has landed, by the position among the generation's results. Files of a generation that was
        replaced stay, so that they may be replaced too.
    :param existing: the files because of which nothing is generated.
    :param credits_used: what EvoLink charged for the current generation.
    :param credits_before: what was reserved or used for generations that were replaced.
    :param price_class: of its request, see :mod:`~airflow_provider_evolink.batch.budget`.
    :param removed: whether the table no longer has the row, which is then left alone.
    :param problem: why it has not landed.
    :param is_outdated: whether a new generation is to replace what there is, and was not submitted yet.
    :param was_landed: whether its current generation had landed before, and a file of it was gone.
    :param seconds: from the submission of the current generation until its end was first read.
    """

    key: str
    pattern: str = ""
    record: LedgerRecord | None = None
    files: tuple[tuple[int, Landed], ...] = ()
    existing: tuple[ExistingFile, ...] = ()
    credits_used: float | None = None
    credits_before: float = 0.0
    price_class: str = ""
    removed: bool = False
    problem: Problem | None = None
    is_outdated: bool = False
    was_landed: bool = False
    seconds: float | None = None

    @property
    def status(self) -> Status:
        """How far the row has got."""
        if self.problem is not None:
            return self.problem.status
        if self.existing:
            return Status.SKIPPED
        if self.is_outdated:
            return Status.UNFINISHED
        if self.record is not None and self.record.phase is Phase.FINISHED:
            return Status.LANDED
        is_submitted = self.record is not None and self.record.phase is Phase.SUBMITTED
        return Status.UNDER_WAY if is_submitted else Status.UNFINISHED

    @property
    def generation_id(self) -> str | None:
        """The id of its current generation."""
        return None if self.record is None else self.record.generation_id

    @property
    def landed(self) -> list[Landed]:
        """The landed files of its current generation, in the order of the results."""
        return [file for _, file in sorted(self.files, key=_index) if file.generation_id == self.generation_id]

    def with_posters(self, posters: Mapping[str, bool]) -> RowEntry:
        """Return the entry with what is known of its files' posters.

        :param posters: whether there is one, by the URI of the file.
        """
        files = [
            (index, replace(file, has_poster=posters.get(file.uri, file.has_poster))) for index, file in self.files
        ]
        return replace(self, files=tuple(files))

    def to_json(self) -> dict[str, Any]:
        """Return the stored form, without what has its default value."""
        known = {name: value for name, default in _DEFAULTS.items() if (value := getattr(self, name)) != default}
        if self.record is not None:
            known["record"] = compact(self.record)
        if self.existing:
            known["existing"] = [file if file.has_poster else file.uri for file in self.existing]
        if self.problem is not None:
            known["problem"] = asdict(self.problem)
        if self.files:
            known["files"] = [self._file_to_json(index, file) for index, file in self.files]
        return known

    def _file_to_json(self, index: int, file: Landed) -> dict[str, Any]:
        stored = {"index": index, **asdict(file)}
        if file.generation_id == self.generation_id:
            del stored["generation_id"]
        if file.storage_conn_id is None:
            del stored["storage_conn_id"]
        if not file.has_poster:
            del stored["has_poster"]
        return stored

    @classmethod
    def from_json(cls, stored: object) -> RowEntry:
        """Read the stored form; fields of a later version are ignored.

        :raises LedgerError: it is not a valid entry. Nothing may be sent then.
        """
        if not isinstance(stored, Mapping) or not isinstance(stored.get("key"), str):
            raise unreadable("a row without a key")
        known = {field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        try:
            if "record" in known:
                known["record"] = LedgerRecord.from_json(known["record"])
            if "problem" in known:
                known["problem"] = _problem(known["problem"])
            record = known.get("record")
            own_id = record.generation_id if isinstance(record, LedgerRecord) else None
            known["files"] = tuple(_file(file, own_id) for file in known.get("files", ()))
            known["existing"] = tuple(_existing(file) for file in known.get("existing", ()))
            entry = cls(**known)
            _check_types(entry)
            return entry
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise unreadable(f"{type(error).__name__}: {error}") from error


_DEFAULTS = {field.name: field.default for field in fields(RowEntry)}
_RECORD_DEFAULTS = {field.name: field.default for field in fields(LedgerRecord)}


def compact(record: LedgerRecord) -> dict[str, Any]:
    """Return a record's stored form, without what has its default value: a chunk holds a hundred of them."""
    known = {name: value for name, value in record.to_json().items() if value not in (_RECORD_DEFAULTS[name], [])}
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in known.items()}


def replaced_entry(entry: RowEntry, record: LedgerRecord) -> RowEntry:
    """Return the entry of a row whose submission is replaced by a new one."""
    return replace(
        entry,
        record=record,
        credits_used=None,
        seconds=None,
        credits_before=entry.credits_before + spent(entry),
        problem=None,
        was_landed=False,
    )


def spent(entry: RowEntry) -> float:
    """Return the credits that the current generation has cost, or has reserved."""
    record = entry.record
    if record is None or record.phase in {Phase.INTENT, Phase.WITHDRAWN}:
        return 0.0
    if record.phase is Phase.FAILED and not record.was_charged:
        return 0.0
    return _first(entry.credits_used, record.credits_reserved, 0.0)


def used_and_reserved(entry: RowEntry) -> tuple[float, float]:
    """Return the credits that a row has used, with all its generations, and those reserved and not settled yet."""
    record, current = entry.record, spent(entry)
    is_settled = record is not None and record.phase in {Phase.FINISHED, Phase.FAILED}
    if is_settled or entry.credits_used is not None:
        return entry.credits_before + current, 0.0
    return entry.credits_before, current


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _index(file: tuple[int, Landed]) -> int:
    return file[0]


def _check_types(entry: RowEntry) -> None:
    files, problem = [file for _, file in entry.files], entry.problem
    texts = [entry.pattern, entry.price_class, *([problem.text, problem.code or ""] if problem else [])]
    texts += [text for file in files for text in (file.uri, file.sha256, file.content_type, file.extension)]
    numbers = [entry.credits_before, entry.credits_used or 0.0, entry.seconds or 0.0, *(file.bytes for file in files)]
    flags = [entry.removed, entry.is_outdated, entry.was_landed, *([problem.is_permanent] if problem else [])]
    texts += [file.uri for file in entry.existing]
    flags += [file.has_poster for file in files] + [file.has_poster for file in entry.existing]
    numbers += [problem.try_number] if problem else []
    for values, allowed in ((texts, str), (numbers, int | float), (flags, bool)):
        if not all(isinstance(value, allowed) for value in values):
            raise TypeError("a field has the wrong type")


def _problem(stored: Mapping[str, Any]) -> Problem:
    return Problem(**{**stored, "status": Status(stored["status"])})


def _existing(stored: Any) -> ExistingFile:
    return ExistingFile(stored) if isinstance(stored, str) else ExistingFile(*stored)


def _file(stored: Mapping[str, Any], own_id: str | None) -> tuple[int, Landed]:
    values = {name: value for name, value in stored.items() if name != "index"}
    return int(stored["index"]), Landed(**{"generation_id": own_id or "", **values})
