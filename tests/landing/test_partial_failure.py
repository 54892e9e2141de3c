"""What one failure means for the others."""

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

PASSING, LASTING = LandingError("later"), FileConflictError("never")


def reached(*ends: EvoLinkError | None, failures: Failures | None = None) -> list[int]:
    """Go through items that end so; return those that were begun."""
    begun: list[int] = []

    def do(number: int) -> None:
        begun.append(number)
        error = ends[number]
        if error is not None:
            raise error

    (failures or Failures()).each(range(len(ends)), do)
    return begun


def test_three_in_a_row_are_an_outage() -> None:
    """What passes ends it when nothing else comes in between; what lasts never does."""
    assert reached(*[PASSING] * 5) == [0, 1, 2]
    assert reached(PASSING, PASSING, None, PASSING, PASSING, LASTING, PASSING, PASSING) == list(range(8))
    assert reached(*[LASTING] * 5) == list(range(5))


@pytest.mark.parametrize("error", [StorageRefusedError("closed"), LandingInputError("filename_pattern", "x", "y")])
def test_what_would_happen_to_all_ends_it(error: EvoLinkError) -> None:
    """A storage that refuses one file would have all the others fetched for nothing."""
    with pytest.raises(type(error)):
        reached(error, None)


def test_what_may_pass_is_raised_first() -> None:
    """As long as a retry can do something, the task has its retries."""
    failures = Failures()
    failures.raise_any()
    reached(LASTING, PASSING, LASTING, failures=failures)
    with pytest.raises(LandingError, match="later"):
        failures.raise_any()
