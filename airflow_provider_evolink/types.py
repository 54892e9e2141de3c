# SPDX-License-Identifier: Apache-2.0
"""The types of what tasks return and write, for annotations: plain dictionaries, so that they travel through XCom.

What each field means, in which unit, and when it is missing: ``docs/record.md``.
"""

# Annotations are not postponed here: Python would not recognize NotRequired in them.
from typing import Any, NotRequired, TypedDict


class Usage(TypedDict):
    """What a generation costs, in EvoLink's credits."""

    credits_reserved: float | None
    credits_used: float | None
    billing_rule: str | None


class LandedFile(TypedDict):
    """A result that has landed in storage."""

    uri: str
    bytes: int
    sha256: str
    content_type: str
    generation_id: str


class GenerationRecord(TypedDict):
    """What a task returns about its generation."""

    generation_id: str
    model: str | None
    status: str
    results: list[str]
    result_data: Any
    expires_at: str | None
    submitted_at: str
    finished_at: str | None
    usage: Usage
    reattached: bool
    try_number: int
    roles: NotRequired[list[str]]
    replay: NotRequired[str]
    landed: NotRequired[list[LandedFile]]


class BatchSummary(TypedDict):
    """What a batch returns."""

    manifest: str
    total: int
    landed: int
    skipped: int
    failed: int
    unfinished: int
    credits_used: float
    credits_reserved: float


class RowError(TypedDict):
    """Why a row of a batch has not landed."""

    code: str | None
    text: str


class ManifestLine(TypedDict):
    """A line of a batch's manifest."""

    key: str | None
    status: str
    generation_id: str | None
    uris: list[str]
    bytes: list[int]
    sha256: list[str]
    credits: float | None
    error: RowError | None
    tries: int


class RecoveryFailure(TypedDict):
    """A generation that could not be landed, and why."""

    generation_id: str
    code: str | None
    text: str


class RecoverySummary(TypedDict):
    """What a recovery returns."""

    found: int
    landed: list[LandedFile]
    skipped: int
    failed: list[RecoveryFailure]
    under_way: int
    too_recent: int
    left: int
    credits_used: float


class UploadRecord(TypedDict):
    """What an upload task returns about a file."""

    link: str
    expires_at: str
    file_id: str | None
    content_type: str | None
    size: int | None
    sha256: str | None
    source: str
