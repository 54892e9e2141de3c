# SPDX-License-Identifier: Apache-2.0
"""Simulates how often the provider polls, how late it notices an end, and how far that is from the optimum.

``python -m benchmarks.pacing`` prints the result after some seconds and needs no network.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from airflow_provider_evolink.polling.poll_plan import FLOOR
from benchmarks.bound import Cost, bound
from benchmarks.policies import Policy, ProviderPacing, back_off, every
from benchmarks.tables import markdown
from benchmarks.workloads import VIDEO, WORKLOADS, Workload

_STRATA = 800
_HISTORIES = 40
_JOBS = 100
_STALL_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Paced:
    """The cost of one policy on one workload.

    :param workload: title of the workload.
    :param policy: title of the policy.
    :param requests: mean polls per job.
    :param delay: mean seconds from a job's end to the poll that notices it.
    :param delay_p99: 99th percentile of the same.
    :param ratio: requests times delay, relative to the best plan for the true durations.
    """

    workload: str
    policy: str
    requests: float
    delay: float
    delay_p99: float
    ratio: float | None


def simulate(policy: Policy, durations: Sequence[float], rng: random.Random) -> list[tuple[int, float]]:
    """Let a policy wait for jobs one after the other."""
    return [policy.wait_for(duration, rng) for duration in durations]


def paced(workload: str, title: str, waits: Sequence[tuple[float, float]], best: Cost | None) -> Paced:
    """Summarize the waits of a policy."""
    delays = sorted(delay for _, delay in waits)
    requests, delay = statistics.fmean(polls for polls, _ in waits), statistics.fmean(delays)
    ratio = requests * delay / best.product if best else None
    return Paced(workload, title, requests, delay, delays[int(0.99 * (len(delays) - 1))], ratio)


def learned(workload: Workload, known: int, estimate: float | None, histories: int) -> list[tuple[int, float]]:
    """Return waits after a number of jobs of the model, over many histories, each of which teaches something else."""
    waits = []
    for seed in range(histories):
        rng = random.Random(seed)
        provider = ProviderPacing(estimate)
        simulate(provider, [workload.draw(rng) for _ in range(known)], rng)
        provider.learns = False
        waits += simulate(provider, [workload.draw(rng) for _ in range(_JOBS)], rng)
    return waits


def of_workload(workload: Workload, histories: int) -> list[Paced]:
    """Return all policies on one workload."""
    title, median = workload.title, workload.median
    best = bound(workload.stratified(_STRATA))
    rng = random.Random(0)
    durations = [workload.draw(rng) for _ in range(histories * _JOBS)]
    rows = [Paced(title, BEST, best.requests, best.delay, 0.0, 1.0)]
    for name, policy in ((FIXED, every(10.0)), ("every 5 s", every(5.0)), ("back-off x1.5 to 30 s", back_off())):
        rows.append(paced(title, name, simulate(policy, durations, rng), best))
    for name, estimate in ((NEW, median), (NEW_HALF, median / 2), (NEW_DOUBLE, median * 2), (NEW_NONE, None)):
        rows.append(paced(title, name, learned(workload, 0, estimate, histories), best))
    rows += [paced(title, after(known), learned(workload, known, median, histories), best) for known in (5, 20, 50)]
    return rows


BEST, FIXED = "the best plan for the true durations", "every 10 s"
BEST_WITH_FLOOR = f"{BEST}, {FLOOR:g} s apart"
NEW, NEW_HALF, NEW_DOUBLE, NEW_NONE = (
    f"ours, model unknown, {estimate}"
    for estimate in ("honest estimate", "estimate half", "estimate double", "no estimate")
)


def after(known: int) -> str:
    """Return the title of the provider's pacing after some jobs."""
    return f"ours, after {known} jobs"


def of_change(title: str, changed: Workload, histories: int) -> list[Paced]:
    """Return the first fifty jobs after an unannounced change that follows a hundred jobs of :data:`VIDEO`."""
    provider: list[tuple[int, float]] = []
    fixed: list[tuple[int, float]] = []
    for seed in range(histories):
        rng = random.Random(seed)
        policy = ProviderPacing(VIDEO.median)
        simulate(policy, [VIDEO.draw(rng) for _ in range(100)], rng)
        durations = [changed.draw(rng) for _ in range(50)]
        provider += simulate(policy, durations, rng)
        fixed += simulate(every(10.0), durations, rng)
    best = bound(changed.stratified(_STRATA))
    return [paced(title, "ours", provider, best), paced(title, FIXED, fixed, best)]


def changes(histories: int) -> list[Paced]:
    """Return the cost of unannounced changes."""
    twice = Workload("", VIDEO.median / 2, lambda share: VIDEO.quantile(share) / 2)
    half = Workload("", VIDEO.median * 2, lambda share: VIDEO.quantile(share) * 2)
    stalled = Workload("", VIDEO.median + _STALL_SECONDS, lambda share: VIDEO.quantile(share) + _STALL_SECONDS)
    return [
        *of_change("twice as fast", twice, histories),
        *of_change("half as fast", half, histories),
        *of_change("the queue stalls for 10 minutes", stalled, histories),
    ]


def all_of(histories: int = _HISTORIES) -> list[Paced]:
    """Return every workload and every change."""
    return [row for workload in WORKLOADS for row in of_workload(workload, histories)] + changes(histories)


def table(rows: Sequence[Paced]) -> str:
    """Return the table, in Markdown."""
    heads = ["workload", "<policy", "polls", "mean delay s", "p99 delay s", "polls x delay, best = 1"]
    return markdown(heads, [[*list(asdict(row).values())[:2], *_figures(row)] for row in rows])


def _figures(row: Paced) -> list[str]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    p99 = "" if row.policy in {BEST, BEST_WITH_FLOOR} else f"{row.delay_p99:.1f}"
    return [f"{row.requests:.1f}", f"{row.delay:.1f}", p99, ratio]


if __name__ == "__main__":
    print(table(all_of()))
