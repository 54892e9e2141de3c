# SPDX-License-Identifier: Apache-2.0
"""What a change of a ledger's record means for the metrics, so that each fact is counted where it is recorded. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from airflow_provider_evolink.api.error_codes import ERROR_CODES
from airflow_provider_evolink.submission.record import LedgerRecord, Phase

SUBMISSIONS = "evolink.submissions"
COMPLETIONS = "evolink.completions"
FAILURES = "evolink.failures"
CREDITS_RESERVED = "evolink.credits_reserved"
CREDITS_USED = "evolink.credits_used"
DURATION = "evolink.generation_duration"
BYTES_LANDED = "evolink.bytes_landed"


class Metric(NamedTuple):
    """A metric that tasks report.

    :param kind: ``counter`` or ``timer``.
    :param tags: in the order in which they follow its name where a name has to carry them.
    :param meaning: what it counts, as a clause for the documentation.
    """

    kind: str
    tags: tuple[str, ...]
    meaning: str


METRICS: Mapping[str, Metric] = {
    SUBMISSIONS: Metric("counter", ("model",), "generations that EvoLink has accepted from a task or a row of a batch"),
    COMPLETIONS: Metric(
        "counter",
        ("model",),
        "generations that have completed with a result, as the task has read; rows of a batch that have landed",
    ),
    FAILURES: Metric(
        "counter",
        ("model", "code"),
        "generations that have failed or were cancelled at EvoLink, by EvoLink's documented error code; `other` "
        "if there is none",
    ),
    CREDITS_RESERVED: Metric("counter", ("model",), "credits that EvoLink has reserved for those that it accepted"),
    CREDITS_USED: Metric(
        "counter",
        ("model",),
        "credits that EvoLink reports as used by those that completed, or were charged although they failed",
    ),
    DURATION: Metric(
        "timer",
        ("model",),
        "milliseconds, as of all of Airflow's timers, from the submission until the task has read that it is "
        "completed; for a row of a batch, until it has landed",
    ),
    BYTES_LANDED: Metric(
        "counter",
        ("model",),
        "bytes of the files that were written to storage; files that were there already don't count",
    ),
}
OTHER_CODE = "other"
_LONGEST = 64
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Measure:
    """One number to report.

    :param name: one of :data:`METRICS`.
    :param value: to add to a counter; of a timer, milliseconds, as all of Airflow's.
    """

    name: str
    value: float
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def long_name(self) -> str:
        """The name with the tags in it, for systems without tags."""
        # As in Airflow's own names: a dot would begin a new level.
        return ".".join([self.name, *(value.replace(".", "__") for value in self.tags.values())])


def measure(name: str, value: float, model: str | None, **tags: str) -> Measure:
    """Return a number to report about a model.

    :param model: any text, as a DAG may contain: what no metrics system accepts is replaced.
    """
    return Measure(name, value, {"model": _UNSAFE.sub("_", model or "unknown")[:_LONGEST], **tags})


def measures_of_change(
    before: LedgerRecord | None, after: LedgerRecord, *, credits_used: float | None, now: float
) -> Iterator[Measure]:
    """Yield what has happened between two records of the same ledger, as each of them was stored.

    A record that is restored, because the submission that was to replace it was rejected, counts as nothing.

    :param before: what the ledger held; ``None`` = nothing.
    :param credits_used: as EvoLink reports them, if it does.
    :param now: seconds since the epoch.
    """
    if before is None or before.idempotency_key != after.idempotency_key:
        return
    model = after.model
    match (before.phase, after.phase):
        case (Phase.INTENT, Phase.SUBMITTED):
            yield measure(SUBMISSIONS, 1, model)
            yield from _amount(CREDITS_RESERVED, after.credits_reserved, model)
        case (Phase.SUBMITTED, Phase.FINISHED):
            yield measure(COMPLETIONS, 1, model)
            yield from _amount(CREDITS_USED, credits_used, model)
            yield from _amount(DURATION, _milliseconds(after, now), model)
        case (Phase.SUBMITTED, Phase.FAILED):
            code = after.error_code if after.error_code in ERROR_CODES else OTHER_CODE
            yield measure(FAILURES, 1, model, code=code or OTHER_CODE)
            if after.was_charged:
                used = after.credits_reserved if credits_used is None else credits_used
                yield from _amount(CREDITS_USED, used, model)


def _amount(name: str, value: float | None, model: str) -> Iterator[Measure]:
    if value is not None and value > 0:
        yield measure(name, value, model)


def _milliseconds(record: LedgerRecord, now: float) -> float | None:
    return None if record.submitted_at is None else 1000.0 * (now - record.submitted_at)
