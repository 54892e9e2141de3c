# SPDX-License-Identifier: Apache-2.0
"""The types of what tasks return and write, for annotations: plain dictionaries, so that they travel through XCom.

The docstring of a field says what it is, when its value is absent (``None`` or empty, or the field itself is missing),
and where the value comes from; the documentation shows them as tables.
"""

# Annotations are not postponed here: Python would not recognize NotRequired in them.
from typing import Any, NotRequired, TypedDict


class Usage(TypedDict):
    """What a generation costs, in EvoLink's credits."""

    credits_reserved: float | None
    """Credits held back at the submission. Absent: EvoLink did not report it; always for ``wait`` and the sensor, if
    EvoLink's later responses lack it, as they do. Source: EvoLink's response to the submission (documented).
    """
    credits_used: float | None
    """Credits charged; what was reserved beyond it is released. Absent: it has not ended, or EvoLink has not settled it
    yet. Source: EvoLink's last response (documented).
    """
    billing_rule: str | None
    """How the model is billed: ``per_call``, ``per_token``, ``per_second`` or another that EvoLink adds. Absent:
    EvoLink did not report it. Source: EvoLink's responses (documented).
    """


class LandedFile(TypedDict):
    """A result that has landed in storage."""

    uri: str
    """Where the file is, without the connection id. Absent: never. Source: the landing."""
    bytes: int
    """Its size in bytes. Absent: never. Source: counted while it was written."""
    sha256: str
    """Its SHA-256, in hexadecimal. Absent: never. Source: computed while it was written."""
    content_type: str
    """Its media type. Absent: never. Source: its first bytes; if they are not known, the server's Content-Type, with a
    warning.
    """
    generation_id: str
    """The generation that it is a result of. Absent: never. Source: the record."""
    storage_conn_id: NotRequired[str | None]
    """The connection to open it with. Absent: the destination named no connection; the field is missing in records of
    earlier versions. Source: the destination.
    """
    poster: NotRequired[str | None]
    """URI of its poster, a small JPEG that shows it, without the connection id. Absent: it has none; the field is
    missing in records of before posters. Source: the landing.
    """


class GenerationRecord(TypedDict):
    """What a task returns about its generation."""

    generation_id: str
    """EvoLink's id. Absent: never. Source: EvoLink's response to the submission."""
    model: str | None
    """The model's id. Absent: neither EvoLink's response nor the task names it (sensor, ``wait``). Source: EvoLink's
    last response, otherwise the request.
    """
    status: str
    """``completed``, unless the task did not wait: then ``pending``, ``processing``, or another that EvoLink adds.
    Absent: never. Source: EvoLink's last response.
    """
    results: list[str]
    """Links to the results, in EvoLink's order. They expire: see ``expires_at``. Absent: empty until there is a result,
    and for models that make no files. Source: EvoLink's last response: ``results``, and links to files in
    ``result_data``.
    """
    result_data: Any
    """Structured results, in a form of each family of models. Removed are what Airflow can't store (NaN, U+0000), names
    that begin with ``__``, and what is nested deeper than 32 levels. Absent: ``None`` for most models. Source:
    EvoLink's last response.
    """
    expires_at: str | None
    """The earliest time at which the links expire: 24 hours after the submission for most models (documented). Absent:
    there are no links. Source: computed: EvoLink does not report it.
    """
    submitted_at: str
    """When the submission was sent; of a generation submitted elsewhere, when EvoLink created it. Absent: never.
    Source: this machine's clock, or EvoLink's ``created``.
    """
    finished_at: str | None
    """When its end was read; a poll or a queue may lie between. Absent: it has not ended. Source: this machine's clock.
    """
    usage: Usage
    """What it costs: see below. Absent: never. Source: EvoLink's responses."""
    reattached: bool
    """Whether this try resumed what an earlier one had paid for. Absent: never. Source: the ledger."""
    try_number: int
    """Airflow's number of the try, from 1; 1 outside of a task. Absent: never. Source: Airflow."""
    roles: NotRequired[list[str]]
    """``result``, ``cover`` (of a song or a video) or ``preview`` for each of ``results``. Absent: the field is missing
    if all results are of the same kind. Source: inferred from where in the response a link was (undocumented).
    """
    replay: NotRequired[str]
    """It was sent again under the same idempotency key, after its response was lost: ``confirmed`` if EvoLink
    recognized the key, otherwise ``unconfirmed``, which may mean a second charge. Absent: the field is missing if the
    submission was sent once. Source: a header of EvoLink's response (undocumented, from its clients).
    """
    landed: NotRequired[list[LandedFile]]
    """The files, in the order of ``results``, without those that ``on_existing="skip"`` left out. Absent: the field is
    missing without a ``destination``. Source: the landing.
    """


class BatchSummary(TypedDict):
    """What a batch returns."""

    manifest: str
    """URI of the manifest, without the connection id. Absent: never. Source: the destination."""
    total: int
    """Rows of the table. Absent: never. Source: the table."""
    landed: int
    """Rows whose files have landed, in any try. Absent: never. Source: the ledger."""
    skipped: int
    """Rows that were not generated: their file was there, or they are invalid and ``on_invalid="skip"``. Absent: never.
    Source: the destination, the table.
    """
    failed: int
    """Rows that have failed. Absent: never. Source: the ledger."""
    unfinished: int
    """Rows that were not submitted, not finished in time, or whose outcome is unknown; 0 if the task succeeds. Absent:
    never. Source: the ledger.
    """
    credits_used: float
    """Credits charged to this task in all its tries, also for rows that the table no longer has. Absent: never. Source:
    the ledger, from EvoLink's responses.
    """
    credits_reserved: float
    """Credits reserved for it and not settled. Absent: never. Source: the ledger, from EvoLink's responses."""


class RowError(TypedDict):
    """Why a row of a batch has not landed."""

    code: str | None
    """EvoLink's error code, or the name of this package's error without ``Error``. Absent: the problem has no code.
    Source: EvoLink's response, or the error.
    """
    text: str
    """What happened, what it cost, and what a retry does. Absent: never. Source: the error."""


class ManifestLine(TypedDict):
    """A line of a batch's manifest."""

    key: str | None
    """The row's key. Absent: an invalid row that has none. Source: the table."""
    status: str
    """``landed``, ``skipped``, ``failed`` or ``unfinished``. Absent: never. Source: the ledger."""
    model: NotRequired[str | None]
    """The model that it was sent to, or would be. Absent: no request can be made of the row; the field is missing in
    manifests of earlier versions. Source: the ledger, the table.
    """
    prompt: NotRequired[str | None]
    """Its prompt as the table has it now, on one line of at most 200 characters; links in it without their query.
    Absent: it has none, or no request can be made of the row; the field is missing in manifests of earlier versions.
    Source: the table.
    """
    generation_id: str | None
    """Its last generation. Absent: nothing was accepted for it. Source: the ledger."""
    uris: list[str]
    """Where its files are, without the connection id; of a skipped row, those that were there. Absent: empty if it has
    no files. Source: the landing, the destination.
    """
    posters: NotRequired[list[str | None]]
    """URI of the poster of each file, ``None`` for one that has none; of a skipped row, what has its name beside the
    file. Absent: empty if it has no files; the field is missing in manifests of before posters. Source: the landing,
    the destination.
    """
    bytes: list[int]
    """The size of each file, in bytes. Absent: empty if this task has landed none. Source: the landing."""
    sha256: list[str]
    """The SHA-256 of each file, in hexadecimal. Absent: empty if this task has landed none. Source: the landing."""
    seconds: NotRequired[float | None]
    """Seconds from the submission of its last generation until its end was first read. Absent: its generation has not
    ended, or there is none; the field is missing in manifests of earlier versions. Source: the worker's clock.
    """
    credits: float | None
    """Credits used for it in all its submissions, or still reserved. Absent: nothing was ever sent for it. Source: the
    ledger, from EvoLink's responses.
    """
    error: RowError | None
    """Why it has not landed: see below. Absent: it has landed or was skipped because its file was there. Source:
    EvoLink's responses, or this package's checks.
    """
    tries: int
    """How many submissions it took; 0 if there was none. Absent: never. Source: the ledger."""


class RecoveryFailure(TypedDict):
    """A generation that could not be landed, and why."""

    generation_id: str
    """Its id. Absent: never. Source: EvoLink's list."""
    code: str | None
    """EvoLink's error code, or the name of this package's error without ``Error``. Absent: the problem has no code.
    Source: EvoLink's response, or the error.
    """
    text: str
    """What happened, what it cost, and what a retry does. Absent: never. Source: the error."""


class RecoverySummary(TypedDict):
    """What a recovery returns."""

    found: int
    """Completed generations of the time that was looked at. Absent: never. Source: EvoLink's list (undocumented, from
    its clients).
    """
    landed: list[LandedFile]
    """The files that have landed since the last run that succeeded. Absent: empty if nothing has landed. Source: the
    landing.
    """
    skipped: int
    """How many generations needed no landing. Absent: never. Source: the task's memory, asset events, the destination.
    """
    failed: list[RecoveryFailure]
    """Generations whose links are dead; a failed run has reported them. Absent: empty if there are none. Source: the
    landing.
    """
    under_way: int
    """How many of the account's generations have not ended. Absent: never. Source: EvoLink's list."""
    too_recent: int
    """How many are younger than ``min_age``. Absent: never. Source: EvoLink's list."""
    left: int
    """How many ``max_generations`` leaves to the next run. Absent: never. Source: EvoLink's list."""
    credits_used: float
    """Credits that the generations in ``landed`` have cost; they were paid for before. Absent: never. Source: EvoLink's
    responses.
    """


class UploadRecord(TypedDict):
    """What an upload task returns about a file."""

    link: str
    """Its public URL. Absent: never. Source: EvoLink's response."""
    expires_at: str
    """When EvoLink deletes it, 72 hours after the upload (documented). Absent: never. Source: EvoLink's response, or
    computed.
    """
    file_id: str | None
    """Its id, for ``EvoLinkHook.delete_file``. Absent: EvoLink has not returned it. Source: EvoLink's response."""
    content_type: str | None
    """Its media type. Absent: EvoLink has not returned it, for a link. Source: its content, or EvoLink's response."""
    size: int | None
    """In bytes. Absent: EvoLink has not returned it, for a link. Source: its content, or EvoLink's response."""
    sha256: str | None
    """Its SHA-256, in hexadecimal. Absent: EvoLink has fetched it from a link. Source: computed while it was read."""
    source: str
    """Where it came from, without credentials. Absent: never. Source: the argument."""
