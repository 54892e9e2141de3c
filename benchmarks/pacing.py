# SPDX-License-Identifier: Apache-2.0
"""
Simulated: how many questions the product's pacing asks, how late it notices, and how far that is from the best.

``python -m benchmarks.pacing`` prints it; it takes some seconds and needs no network.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from airflow_provider_evolink.polling.poll_plan import FLOOR
from benchmarks.bound import Spent, bound
from benchmarks.policies import Ours, Policy, back_off, every
from benchmarks.tables import markdown
from benchmarks.workloads import VIDEO, WORKLOADS, Workload

_STRATA = 800
_HISTORIES = 40
_JOBS = 100
_STALL_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Paced:
    """
    What one policy has cost on one workload.

    :param ratio: of requests times delay to that of the best plan for the true durations.
    :param delay_p99: seconds.
    """

    workload: str
    policy: str
    requests: float
    delay: float
    delay_p99: float
    ratio: float | None


def simulate(policy: Policy, durations: Sequence[float], chance: random.Random) -> list[tuple[int, float]]:
    """Let a policy wait for jobs one after the other."""
    return [policy.wait_for(duration, chance) for duration in durations]


def paced(workload: str, title: str, waits: Sequence[tuple[float, float]], best: Spent | None) -> Paced:
    """Sum up the waits of a policy."""
    delays = sorted(delay for _, delay in waits)
    requests, delay = statistics.fmean(asked for asked, _ in waits), statistics.fmean(delays)
    ratio = requests * delay / best.product if best else None
    return Paced(workload, title, requests, delay, delays[int(0.99 * (len(delays) - 1))], ratio)


def learned(workload: Workload, known: int, estimate: float | None, histories: int) -> list[tuple[int, float]]:
    """Waits after so many jobs of the model, over many histories: what is learned differs from one to the next."""
    waits = []
    for seed in range(histories):
        chance = random.Random(seed)
        ours = Ours(estimate)
        simulate(ours, [workload.draw(chance) for _ in range(known)], chance)
        ours.learns = False
        waits += simulate(ours, [workload.draw(chance) for _ in range(_JOBS)], chance)
    return waits


def of_workload(workload: Workload, histories: int) -> list[Paced]:
    """All policies on one workload."""
    title, median = workload.title, workload.median
    best = bound(workload.stratified(_STRATA))
    chance = random.Random(0)
    durations = [workload.draw(chance) for _ in range(histories * _JOBS)]
    rows = [Paced(title, BEST, best.requests, best.delay, 0.0, 1.0)]
    for name, policy in ((FIXED, every(10.0)), ("every 5 s", every(5.0)), ("back-off x1.5 to 30 s", back_off())):
        rows.append(paced(title, name, simulate(policy, durations, chance), best))
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
    """The title of ours after some jobs."""
    return f"ours, after {known} jobs"


def of_change(title: str, changed: Workload, histories: int) -> list[Paced]:
    """The first fifty jobs after a change that came after a hundred jobs of :data:`VIDEO`."""
    ours: list[tuple[int, float]] = []
    fixed: list[tuple[int, float]] = []
    for seed in range(histories):
        chance = random.Random(seed)
        policy = Ours(VIDEO.median)
        simulate(policy, [VIDEO.draw(chance) for _ in range(100)], chance)
        durations = [changed.draw(chance) for _ in range(50)]
        ours += simulate(policy, durations, chance)
        fixed += simulate(every(10.0), durations, chance)
    best = bound(changed.stratified(_STRATA))
    return [paced(title, "ours", ours, best), paced(title, FIXED, fixed, best)]


def changes(histories: int) -> list[Paced]:
    """What a change costs that nobody has announced."""
    twice = Workload("", VIDEO.median / 2, lambda share: VIDEO.quantile(share) / 2)
    half = Workload("", VIDEO.median * 2, lambda share: VIDEO.quantile(share) * 2)
    stalled = Workload("", VIDEO.median + _STALL_SECONDS, lambda share: VIDEO.quantile(share) + _STALL_SECONDS)
    return [
        *of_change("twice as fast", twice, histories),
        *of_change("half as fast", half, histories),
        *of_change("the queue stalls for 10 minutes", stalled, histories),
    ]


def all_of(histories: int = _HISTORIES) -> list[Paced]:
    """Every workload and every change."""
    return [row for workload in WORKLOADS for row in of_workload(workload, histories)] + changes(histories)


def table(rows: Sequence[Paced]) -> str:
    """The table, in Markdown."""
    heads = ["workload", "<asks", "questions", "mean delay s", "p99 delay s", "questions x delay, best = 1"]
    return markdown(heads, [[*list(asdict(row).values())[:2], *_figures(row)] for row in rows])


def _figures(row: Paced) -> list[str]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    p99 = "" if row.policy in {BEST, BEST_WITH_FLOOR} else f"{row.delay_p99:.1f}"
    return [f"{row.requests:.1f}", f"{row.delay:.1f}", p99, ratio]


if __name__ == "__main__":
    print(table(all_of()))
