# SPDX-License-Identifier: Apache-2.0
"""The base of all errors: what was paid for, what a retry does, and how that survives on its way to an alert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_evolink.api.error_facts import ErrorAttributes, ErrorFacts


class EvoLinkError(ErrorAttributes, Exception):
    """Base class of every error this package raises.

    :param message: what happened, what it cost and, unless ``advice`` says it, what a retry does.
    :param advice: what a retry does, as a sentence. ``facts`` is the message without it, for a task that knows better.
    :param generation_id: the generation concerned, if there is one.
    :param retry_after: seconds the server asked to wait before a retry, if it did.
    """

    permanent: bool = False
    retry_after: float | None = None

    def __init__(
        self, message: str, *, advice: str = "", generation_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{message} {advice}".rstrip())
        self.facts, self.advice = message, advice
        self.generation_id = generation_id
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Whether a retry may succeed."""
        return not self.permanent

    def advise(self, advice: str) -> None:
        """Say what a retry does, as a sentence, for an error that could not know it."""
        self.advice = advice
        self.args = (f"{self} {advice}",)

    def complete(self, known: ErrorFacts) -> None:
        """Fill in the attributes that are unknown: from the errors that have caused this one, and from the task.

        :param known: what the task knows. If this error itself states that nothing was charged, it is about a
            submission that was never made, and not about the generation of an earlier one.
        """
        self._fill(known, ("conn_id", "model"))
        if self.charged is not False:
            self._fill(known, ("generation_id", "credits_reserved", "credits_used", "charged"))
        if isinstance(self.__cause__, EvoLinkError):
            self.__cause__.complete(ErrorFacts())
            self._fill(self.__cause__, ("code", "detail", "request_id"))

    def _fill(self, source: object, names: Sequence[str]) -> None:
        for name in names:
            if getattr(self, name) is None:
                setattr(self, name, getattr(source, name))

    def __reduce__(self) -> tuple[Callable[..., EvoLinkError], tuple[type[EvoLinkError], tuple[Any, ...], Any]]:
        """Make it survive pickle, which would call the constructor with the message alone."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(error_class: type[EvoLinkError], args: tuple[Any, ...], state: Mapping[str, Any]) -> EvoLinkError:
    error = error_class.__new__(error_class, *args)
    error.args = args  # an OSError has them from its constructor only
    error.__dict__.update(state)
    return error
