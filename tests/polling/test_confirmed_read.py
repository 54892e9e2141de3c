"""Reading patiently: what one refusal is worth, what several are, and how long an outage is endured."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.generation import CONFIRMATION_SECONDS, Generation
from airflow_provider_evolink.polling.confirmed_read import Refused, Unanswered, describe_error, read_until_confirmed
from tests.leaping import LeapingTime

SEEN = Generation("task-unified-1", "processing")
LOG = logging.getLogger(__name__)
NOT_FOUND = errors.GenerationNotFoundError("404", status=404, code="task_not_found", detail="No such task.")
DENIED = errors.AccessDeniedError("403", status=403)
DOWN = errors.ServerError("503", status=503)


class Answers:
    """What a generation's reads come to, one after the other; the last one again and again."""

    def __init__(self, *answers: Generation | errors.EvoLinkError) -> None:
        self.asked = 0
        self._left: Iterator[Generation | errors.EvoLinkError] = iter(answers)
        self._last = answers[-1]

    def __call__(self) -> Generation:
        """Answer, or fail."""
        self.asked += 1
        answer = next(self._left, self._last)
        if isinstance(answer, Generation):
            return answer
        raise answer


@pytest.mark.parametrize("error", [NOT_FOUND, DENIED, errors.AuthenticationError("401", status=401), DOWN])
def test_a_stray_failure_is_read_over(leaping: LeapingTime, error: errors.EvoLinkError) -> None:
    """One refusal of any kind, and one outage, cost seconds."""
    assert read_until_confirmed(Answers(error, SEEN), timeout=60.0, log=LOG) is SEEN
    assert sum(leaping.slept) < 10


def test_refusals_that_agree_are_believed(leaping: LeapingTime) -> None:
    """Only several alike over two minutes are, and they are no tight loop."""
    answers = Answers(NOT_FOUND)

    refused = read_until_confirmed(answers, timeout=0.0, log=LOG)

    assert isinstance(refused, Refused)
    assert (refused.error, refused.times) == (NOT_FOUND, answers.asked)
    assert refused.seconds == pytest.approx(CONFIRMATION_SECONDS, abs=35)
    assert 3 <= answers.asked <= 10


def test_refusals_that_contradict_each_other_are_not_believed(leaping: LeapingTime) -> None:
    """A refusal for another reason begins anew, and in the end nothing is known."""
    answers = Answers(*[NOT_FOUND, DENIED] * 50)

    assert isinstance(read_until_confirmed(answers, timeout=300.0, log=LOG), Unanswered)
    assert sum(leaping.slept) == pytest.approx(300, abs=5)


def test_a_failure_in_passing_contradicts_no_refusal(leaping: LeapingTime) -> None:
    """Refusals are believed though a gateway fails now and then between them."""
    assert isinstance(read_until_confirmed(Answers(*[NOT_FOUND, DOWN] * 50), timeout=600.0, log=LOG), Refused)


@pytest.mark.parametrize("patience", [0.0, 60.0, 600.0])
def test_an_outage_is_endured_for_as_long_as_is_asked(leaping: LeapingTime, patience: float) -> None:
    """Reads that fail in passing are repeated until the patience is used up, not longer."""
    answers = Answers(DOWN)

    unanswered = read_until_confirmed(answers, timeout=patience, log=LOG)

    assert isinstance(unanswered, Unanswered)
    assert sum(leaping.slept) == pytest.approx(patience, abs=2)
    assert answers.asked <= 2 + patience / 20 + 4


def test_it_waits_as_long_as_evolink_asks(leaping: LeapingTime) -> None:
    """``Retry-After`` comes before the pauses of our own."""
    slow = errors.RateLimitedError("429", status=429, retry_after=50.0)

    assert read_until_confirmed(Answers(slow, SEEN), timeout=600.0, log=LOG) is SEEN
    assert leaping.slept == [50.0]


def test_what_can_not_be_asked_is_raised(leaping: LeapingTime) -> None:
    """A connection that can't be used is no answer of EvoLink's."""
    with pytest.raises(errors.ConfigurationError):
        read_until_confirmed(Answers(errors.ConfigurationError("no key")), timeout=600.0, log=LOG)
    assert leaping.slept == []


def test_words_leave_out_the_advice() -> None:
    """That a retry is pointless is no word for a log that says when the next read follows."""
    assert describe_error(NOT_FOUND) == "HTTP 404 task_not_found: No such task."
    assert describe_error(DENIED) == "HTTP 403"
    assert describe_error(errors.ConnectionLostError("lost")) == "lost"
