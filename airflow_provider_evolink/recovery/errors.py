# SPDX-License-Identifier: Apache-2.0
"""The errors that a recovery ends with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import LandingError
from airflow_provider_evolink.api.wording import counted

if TYPE_CHECKING:
    from airflow_provider_evolink.types import RecoveryFailure

# Generations that an error lists.
_LISTED = 10


class RecoveryFailedError(LandingError):
    """Generations that are paid for could not be landed, or not all. A retry lands what is missing; it costs nothing.

    :param advice: what a retry does.
    :param failed: ``{generation_id, code, text}`` of each.
    """

    def __init__(self, message: str, *, advice: str = "", failed: Sequence[RecoveryFailure] = ()) -> None:
        super().__init__(message, advice=advice)
        self.failed = list(failed)


class PermanentRecoveryFailedError(RecoveryFailedError):
    """Generations could not be landed, and a retry would find the same for each of them."""

    permanent = True


def recovery_failed(
    failed: Sequence[RecoveryFailure], *, landed: int, left: int, reason: str, is_permanent: bool
) -> RecoveryFailedError:
    """Return the error of a recovery.

    :param failed: ``{generation_id, code, text}`` of each generation that could not be landed.
    :param landed: how many generations have landed.
    :param left: how many were not attempted.
    :param reason: why these were not attempted, if so.
    :param is_permanent: whether a retry finds the same for all of them.
    """
    error_class = PermanentRecoveryFailedError if is_permanent else RecoveryFailedError
    facts = (
        f"{counted(len(failed), 'generation')} could not be landed and {left:,} were not attempted; {landed:,} landed. "
        "All are paid for already, and nothing was paid now."
    )
    lines = [f"{each['generation_id']}: {each['text']}" for each in failed[:_LISTED]]
    others = [f"and {counted(len(failed) - _LISTED, 'other')}."] if len(failed) > _LISTED else []
    advice = "A retry finds the same." if is_permanent else "A retry lands what is missing, at no cost."
    return error_class("\n".join([facts, *lines, *others, *([reason] if reason else [])]), advice=advice, failed=failed)
