# SPDX-License-Identifier: Apache-2.0
"""The errors that a batch ends with."""

from __future__ import annotations

from airflow_provider_evolink.api.errors import EvoLinkError
from airflow_provider_evolink.api.wording import counted

_RAISE_LIMIT = "A retry submits nothing either: raise max_credits and clear the task."


class BudgetExhaustedError(EvoLinkError):
    """The next row would pass ``max_credits``. A retry submits nothing either.

    :param limit: ``max_credits``.
    :param committed: credits reserved and used so far.
    """

    permanent = True

    def __init__(self, limit: float, committed: float) -> None:
        super().__init__(_no_room(limit, committed), advice=_RAISE_LIMIT)


class BudgetInDoubtError(EvoLinkError):
    """The next row could pass ``max_credits``, since responses were lost. A retry finds out about them first.

    :param limit: ``max_credits``.
    :param committed: credits reserved and used so far.
    :param in_doubt: submissions without a response, which may have cost something.
    """

    def __init__(self, limit: float, committed: float, in_doubt: int) -> None:
        facts = (
            f"{_no_room(limit, committed)} The responses to {counted(in_doubt, 'submission')}, which may cost "
            "more, were lost."
        )
        super().__init__(facts, advice="A retry finds out about them first.")


def no_room(limit: float, committed: float, in_doubt: int) -> EvoLinkError:
    """Return why no other row may be sent.

    :param in_doubt: submissions whose response was lost.
    """
    return BudgetInDoubtError(limit, committed, in_doubt) if in_doubt else BudgetExhaustedError(limit, committed)


def _no_room(limit: float, committed: float) -> str:
    return f"`max_credits`={limit:g} leaves no room for the next row: {committed:g} credits are reserved or used."


class BatchFailedError(EvoLinkError):
    """More rows have failed than may, or some are unfinished. A retry goes on with those that a new try can help.

    :param manifest: URI of the manifest, which lists every row.
    :param code: why nothing more was submitted or, if all rows were, why the first of those listed has failed; as the
        manifest has it.
    """

    def __init__(self, message: str, *, manifest: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.manifest = manifest
        self.code = code


class PermanentBatchFailedError(BatchFailedError):
    """Rows have failed, and a retry would find the same for each of them."""

    permanent = True


def file_exists(uri: str, generation_id: str | None) -> str:
    """Say why a row is not sent whose file is there.

    :param generation_id: the generation that the file may be of, if the row has made one and was changed since.
    """
    facts, ways = f"{uri} exists already", "skip_existing=False with on_existing='replace' replaces it"
    if generation_id is None:
        return f"{facts}, so nothing was sent. skip_existing=True does without the row, {ways}; then clear the task."
    facts = f"{facts}, and may be of {generation_id}, which this row made before it was changed"
    return f"{facts}, so nothing was sent. Move it, or {ways}; then clear the task."
