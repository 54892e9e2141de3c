# SPDX-License-Identifier: Apache-2.0
"""Check all rows of a batch before the first of them is paid for, as a stream. No Airflow, no network of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

from airflow_provider_evolink.api.errors import InvalidInputError, InvalidRowsError
from airflow_provider_evolink.batch.names import has_generation_id
from airflow_provider_evolink.batch.rows import BadRow, Row

if TYPE_CHECKING:
    from airflow_provider_evolink.api.request import GenerationRequest

OnInvalid = Literal["fail", "skip"]

_MAX_LISTED = 10
_MAX_WARNINGS = 20


@dataclass(slots=True)
class Validation:
    """What a check of all rows has found.

    :param total: number of rows.
    :param keys_digest: of all keys in order; another one means another table.
    :param bad_count: number of rows that can't be sent.
    :param bad: the first ten of them.
    :param warnings: those of the requests, each once, at most 20.
    """

    total: int = 0
    keys_digest: str = ""
    bad_count: int = 0
    bad: list[BadRow] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, verdict: GenerationRequest | BadRow | None) -> None:
        """Count the verdict on one row; ``None`` for a row that needs none."""
        if verdict is None:
            return
        if isinstance(verdict, BadRow):
            self.bad_count += 1
            self.bad += [verdict] if len(self.bad) < _MAX_LISTED else []
            return
        for warning in verdict.warnings:
            if warning not in self.warnings and len(self.warnings) < _MAX_WARNINGS:
                self.warnings.append(warning)


class Checker:
    """The verdicts on rows, which are the same whenever a table is read from its start with a checker of its own.

    Every row goes through :meth:`check` or :meth:`claim`, in order: the second row with the same key, or with the same
    file names, is the bad one.

    :param prepare: checks a row and makes its request.
    :param name: makes the pattern of a row's file names.
    """

    def __init__(self, prepare: Callable[[Row], GenerationRequest], name: Callable[[Row], str]) -> None:
        self._prepare = prepare
        self._name = name
        # By digest, the number of the first row: a fraction of what keys and names would take.
        self._keys: dict[int, int] = {}
        self._names: dict[int, int] = {}

    def check(self, row: Row | BadRow) -> GenerationRequest | BadRow | None:
        """Return the request of a row, or what is wrong with the row.

        :raises ConnectionError, TimeoutError: an input of the row can't be read at the moment. A retry may succeed.
        """
        bad = self.claim(row)
        return bad if bad is not None or isinstance(row, BadRow) else self.request(row)

    def request(self, row: Row) -> GenerationRequest | BadRow:
        """Return the request of a row that has been claimed, or what is wrong with it."""
        try:
            return self._prepare(row)
        except InvalidInputError as error:
            return BadRow(row.number, row.key, error.refusal)

    def claim(self, row: Row | BadRow) -> BadRow | None:
        """Claim the key and the file names of a row, and return what is wrong with them."""
        try:
            self._claim(row)
        except InvalidInputError as error:
            return BadRow(row.number, row.key, error.refusal)
        return row if isinstance(row, BadRow) else None

    def _claim(self, row: Row | BadRow) -> None:
        """Claim a row's key and its file names.

        :raises InvalidInputError: an earlier row has them, or the row can't name its files.
        """
        if row.key is not None and (earlier := self._keys.setdefault(_digest(row.key), row.number)) != row.number:
            raise InvalidInputError("key", row.key, f"unique, but row {earlier} has it too")
        if isinstance(row, BadRow):
            return
        names = self._name(row)
        if has_generation_id(names):
            return
        if (earlier := self._names.setdefault(_digest(names), row.number)) != row.number:
            allowed = f"a pattern that gives every row files of its own, but row {earlier} has the same"
            raise InvalidInputError("filename_pattern", names, allowed)


def validate(table: Iterable[Row | BadRow], checker: Checker, *, on_invalid: OnInvalid) -> Validation:
    """Check every row; nothing is sent.

    :param table: the rows, from the first one.
    :param checker: one that has not checked any row yet.
    :param on_invalid: ``fail`` raises if there is a bad row; ``skip`` leaves it to the caller to send the others.
    :raises InvalidRowsError: rows are invalid; it lists the first ten. A retry finds the same.
    :raises InvalidInputError: the table as a whole can't be read. A retry finds the same.
    :raises ConnectionError, TimeoutError: the table or an input can't be read at the moment. A retry may succeed.
    """
    keys, found = _KeysDigest(), Validation()
    for row in table:
        keys.add(row)
        found.add(checker.check(row))
    found.total, found.keys_digest = keys.count, keys.hexdigest()
    if found.bad_count and on_invalid == "fail":
        raise InvalidRowsError(found.total, found.bad_count, list(map(str, found.bad)))
    return found


def keys_digest(table: Iterable[Row | BadRow]) -> tuple[str, int]:
    """Return the digest of a table's keys in order, as :class:`Validation` has it, and the number of its rows."""
    keys = _KeysDigest()
    for row in table:
        keys.add(row)
    return keys.hexdigest(), keys.count


class _KeysDigest:
    def __init__(self) -> None:
        self.count = 0
        self._hash = blake2b(digest_size=16)

    def add(self, row: Row | BadRow) -> None:
        self.count += 1
        # No key contains a line break or is empty.
        self._hash.update(f"{row.key or ''}\n".encode())

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
