# SPDX-License-Identifier: Apache-2.0
"""One run of the DAG that makes the videos in batches, under the same faults and kills, and what is found then."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from tests import batch_invariants
from tests.batch_invariants import Batch
from tests.chaos.experiment import Experiment
from tests.chaos.prompts import batch_rows
from tests.ledgers import batch_rows_of

DAG = "chaos_batches"
TASK = "batch"
PICTURE = Path(__file__).parents[2] / "dags" / "pictures" / "lighthouse.png"


@dataclass(frozen=True)
class BatchesFacts:
    """What is found of all batches.

    :param batches: each of them.
    :param tries: attempts of their tasks.
    :param unexpected: ids of generations with an unknown prompt.
    :param leaked_keys: number of requests that showed the API key to a media host.
    :param timeout: seconds after which the run was given up; None if it ended.
    """

    batches: Sequence[Batch]
    tries: Sequence[int]
    unexpected: Sequence[str] = ()
    leaked_keys: int = 0
    timeout: float | None = None

    @property
    def requested(self) -> int:
        """Number of videos."""
        return sum(len(batch.prompts) for batch in self.batches)

    @property
    def double_charges(self) -> int:
        """Number of generations that were charged in addition to the first of their video."""
        return sum(batch.double_charges for batch in self.batches)

    @property
    def lost(self) -> int:
        """Number of videos that were paid for and did not land."""
        return sum(batch.lost for batch in self.batches)

    @property
    def landed(self) -> int:
        """Number of videos that are where the manifest says, with the content that EvoLink delivers."""
        return sum(batch.landed for batch in self.batches)

    @property
    def attempts(self) -> dict[str, Sequence[int]]:
        """The attempts of all tasks, by what they do."""
        return {"of a batch": self.tries}

    @property
    def sends(self) -> list[int]:
        """How often the last submission of each video was sent."""
        return [row.get("record", {}).get("send_count", 1) for batch in self.batches for row in batch.ledger.values()]


def violations(facts: BatchesFacts) -> list[str]:
    """Return every violation; empty if everything went well in the end."""
    found = [] if facts.timeout is None else [f"the run was given up after {facts.timeout:.0f} s"]
    for number, batch in enumerate(facts.batches):
        found += [f"batch {number}: {what}" for what in batch_invariants.violations(batch)]
    found += [f"{generation_id} was accepted for a prompt that no row has" for generation_id in facts.unexpected]
    return [*found, f"the API key was shown to media hosts {facts.leaked_keys} times"] if facts.leaked_keys else found


@dataclass
class BatchExperiment(Experiment):
    """A run of the DAG."""

    dag: ClassVar[str] = DAG

    def _conf(self) -> dict[str, Any]:
        tables = self.stack.home / "tables"
        tables.mkdir()
        for number, rows in enumerate(batch_rows()):
            lines = [json.dumps({**row, "image": str(PICTURE)}) + "\n" for row in rows]
            (tables / f"{number}.jsonl").write_text("".join(lines))
        return {**super()._conf(), "tables": str(tables)}

    def facts_of_batches(self, timeout: float | None) -> BatchesFacts:
        """Gather what the invariants are checked against, once EvoLink has finished its generations."""
        state = self._final_state()
        tasks = sorted(self.stack.api.task_instances(DAG, self.run_id), key=lambda task: task["map_index"])
        delivered = self._delivered(state)
        batches = [
            self._batch(number, rows, state["generations"], delivered, tasks[number]["state"])
            for number, rows in enumerate(batch_rows())
        ]
        known = {prompt for batch in batches for prompt in batch.prompts.values()}
        return BatchesFacts(
            batches=batches,
            tries=[task["try_number"] for task in tasks],
            unexpected=[generation["id"] for generation in state["generations"] if generation["prompt"] not in known],
            leaked_keys=state["api_key_leak_count"],
            timeout=timeout,
        )

    def _batch(
        self,
        number: int,
        rows: Sequence[Mapping[str, Any]],
        generations: Sequence[Mapping[str, Any]],
        delivered: Mapping[str, str],
        state: str | None,
    ) -> Batch:
        prompts = {row["sku"]: row["prompt"] for row in rows}
        folder = self.destination / str(number)
        manifest = folder / f"manifest-{TASK}-{number}.jsonl"
        task = f"dags/{DAG}/dagRuns/{quote(self.run_id, safe='')}/taskInstances/{TASK}"
        of_rows = set(prompts.values())
        return Batch(
            prompts=prompts,
            generations=[generation for generation in generations if generation["prompt"] in of_rows],
            delivered=delivered,
            files=batch_invariants.files_of(folder, manifest),
            manifest=manifest.read_text() if manifest.exists() else None,
            ledger=batch_rows_of(self.stack.api, task, map_index=number),
            log=self._log_of(TASK, number),
            state=state,
            summary=self.stack.api.xcom(DAG, self.run_id, TASK, map_index=number),
        )
