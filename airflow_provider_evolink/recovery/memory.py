# SPDX-License-Identifier: Apache-2.0
"""What a recovering task remembers from run to run, so that each generation is landed, announced and reported once.

Files may be moved or removed after they have landed: that does not bring them back. A memory that can't be read or
written costs nothing but work, since files that are still at the destination are recognized by their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.api.errors import ResultExpiredError
from airflow_provider_evolink.batch.entry import Status
from airflow_provider_evolink.recovery.collection import Collected
from airflow_provider_evolink.submission.entries import Store

# Start of its keys in the state store of the asset.
STORE_KEY = "recovered"
_DEAD = ResultExpiredError.__name__.removesuffix("Error")


@dataclass
class Memory:
    """The memory of one task.

    :param store: outlives the task's runs; ``None`` = remember for this run only.
    :param key: of the task in the store.
    :param log: receives warnings.
    :param settled: when the generations that need no more work were submitted, by id, in seconds since the epoch.
    :param failed: why those among them could not be landed, by id.
    :param under_way: ids of the generations whose landing has begun; once loaded, those of a try that was killed.
    :param unannounced: landed in a try that failed, so that Airflow has dropped its asset events; by id.
    """

    store: Store | None
    key: str
    log: Any
    settled: dict[str, float] = field(default_factory=dict)
    failed: dict[str, dict[str, Any]] = field(default_factory=dict)
    under_way: tuple[str, ...] = ()
    unannounced: dict[str, Collected] = field(default_factory=dict)

    def load(self, *, since: float) -> None:
        """Read what earlier runs have stored.

        :param since: what was submitted before is forgotten, since it is no longer listed.
        """
        try:
            stored = self.store.get(self.key) if self.store else None
            self._parse({} if stored is None else stored, since)
        except Exception as error:
            self.log.warning(
                "What earlier runs have landed could not be read (%s). What is still at the destination is recognized; "
                "what was moved since lands again.",
                error,
            )

    def _parse(self, stored: Any, since: float) -> None:
        settled = {str(each): float(created) for each, created in stored.get("settled", {}).items()}
        failed = {each: dict(problem) for each, problem in stored.get("failed", {}).items()}
        unannounced = stored.get("unannounced", {})
        self.unannounced = {each: Collected.from_json(each, landed) for each, landed in unannounced.items()}
        self.settled = {each: created for each, created in settled.items() if created >= since}
        self.failed = {each: problem for each, problem in failed.items() if each in self.settled}
        self.under_way = tuple(map(str, stored.get("under_way", ())))

    def begin(self, ids: Sequence[str]) -> None:
        """Store that a landing begins: were it killed, its files would be there, but announced by nobody."""
        self.under_way = tuple(ids)
        self.save()

    def end(self) -> None:
        """Store that it has ended, and what was noted meanwhile."""
        self.under_way = ()
        self.save()

    def note(self, outcome: Collected, created: float) -> None:
        """Remember a generation that has landed, has nothing to land, or whose links are dead for good.

        Whatever else keeps it from landing, somebody may put right.

        :param created: when it was submitted, in seconds since the epoch.
        """
        problem = outcome.problem
        is_dead = problem is not None and problem.code == _DEAD
        if outcome.status not in {Status.LANDED, Status.SKIPPED} and not is_dead:
            return
        self.settled[outcome.generation_id] = created
        if problem is not None:
            self.failed[outcome.generation_id] = {"code": problem.code, "text": problem.text}
        elif outcome.status is Status.LANDED:
            self.unannounced[outcome.generation_id] = outcome

    def announced(self) -> list[Collected]:
        """Return what has landed and was not announced yet, and forget that it was not."""
        landed = list(self.unannounced.values())
        self.unannounced.clear()
        return landed

    def save(self) -> None:
        """Store it."""
        if self.store is None:
            return
        value = {
            "settled": self.settled,
            "failed": self.failed,
            "under_way": list(self.under_way),
            "unannounced": {each: landed.to_json() for each, landed in self.unannounced.items()},
        }
        try:
            self.store.set(self.key, value)
        except Exception as error:
            self.log.warning(
                "What has landed could not be stored (%s). What is moved from the destination may land again.", error
            )
