# SPDX-License-Identifier: Apache-2.0
"""What one failure means for the other results."""

from __future__ import annotations

import pytest

from airflow_provider_evolink.api.errors import (
    EvoLinkError,
    FileConflictError,
    LandingError,
    LandingInputError,
    StorageRefusedError,
)
from airflow_provider_evolink.landing.partial_failure import Failures

TEMPORARY, PERMANENT = LandingError("later"), FileConflictError("never")


def attempted(*outcomes: EvoLinkError | None, failures: Failures | None = None) -> list[int]:
    """Process items with these outcomes; return those that were attempted."""
    started: list[int] = []

    def do(number: int) -> None:
        started.append(number)
        error = outcomes[number]
        if error is not None:
            raise error

    (failures or Failures()).each(range(len(outcomes)), do)
    return started


def test_three_temporary_failures_in_a_row_stop() -> None:
    """Three temporary failures in a row stop the rest; permanent ones never do."""
    assert attempted(*[TEMPORARY] * 5) == [0, 1, 2]
    assert attempted(TEMPORARY, TEMPORARY, None, TEMPORARY, TEMPORARY, PERMANENT, TEMPORARY, TEMPORARY) == list(
        range(8)
    )
    assert attempted(*[PERMANENT] * 5) == list(range(5))


@pytest.mark.parametrize("error", [StorageRefusedError("closed"), LandingInputError("filename_pattern", "x", "y")])
def test_failure_common_to_all_stops_at_once(error: EvoLinkError) -> None:
    """If the storage refuses one file, the others are not downloaded in vain."""
    with pytest.raises(type(error)):
        attempted(error, None)


def test_temporary_failure_is_raised_first() -> None:
    """The task keeps its retries as long as one can help."""
    failures = Failures()
    failures.raise_any()
    attempted(PERMANENT, TEMPORARY, PERMANENT, failures=failures)
    with pytest.raises(LandingError, match="later"):
        failures.raise_any()


def test_continuing_is_logged_if_there_is_something_to_continue_with(caplog: pytest.LogCaptureFixture) -> None:
    """A single failure is only raised; of several, each is either raised or in the log, once."""
    attempted(TEMPORARY, failures=(alone := Failures()))
    with pytest.raises(LandingError):
        alone.raise_any()
    assert not caplog.messages

    attempted(LandingError("first"), None, LandingError("second"), failures=(both := Failures()))
    with pytest.raises(LandingError, match="first"):
        both.raise_any()
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "Continuing with the other results, then failing the task",
        "This has failed, too",
    ]
    assert "second" in caplog.messages[1]


def test_giving_up_is_not_called_continuing(caplog: pytest.LogCaptureFixture) -> None:
    """The failure after which the other results are left to a retry does not claim that they are continued with."""
    attempted(*[TEMPORARY] * 5)
    assert len(caplog.messages) == 2
