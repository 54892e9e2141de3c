# SPDX-License-Identifier: Apache-2.0
"""One run of the batch DAG on its way to a failpoint, with its own EvoLink."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_provider_evolink.result import batch_trigger_stopped
from tests import batch_invariants
from tests.crash.batch_failpoints import ROWS
from tests.crash.run import Run, delivered
from tests.ledgers import batch_rows_of

MANIFEST = "manifest-batch.jsonl"
EARLIER_MANIFEST = '{"key": "of an earlier batch"}\n'
# By EvoLink's estimates, the first row takes 10 s and the others 100 s.
_FIRST_MODEL, _MODEL = "z-image-turbo", "gpt-image-1.5"
_UNTIL_FIRST_ENDS = 15.0


@dataclass(frozen=True)
class BatchFacts(batch_invariants.Batch):
    """What is found after a run."""

    def violations(self) -> list[str]:
        """Return every violation; empty if everything went well in the end."""
        accepted = len(self.generations)
        twice = [] if accepted == len(self.prompts) else [f"{accepted} generations were accepted"]
        return [*twice, *batch_invariants.violations(self)]

    def untraceable(self) -> list[str]:
        """Return the generations that nothing leads to, and what is wrong with the manifest, of a stopped task."""
        broken = batch_invariants.broken_manifest(self, earlier=EARLIER_MANIFEST)
        return [*batch_invariants.untraceable(self), *broken]

    def reports_stop(self) -> bool:
        """Return whether the log reports that the task was stopped."""
        return "Killed: nothing more will be submitted." in self.log

    def reports_charge(self) -> bool:
        """Return whether a stopped trigger has reported that the generations stay paid for."""
        texts = [batch_trigger_stopped(ROWS, cost=cost) for cost in (None, 1.0)]
        return os.path.commonprefix(texts) in self.log  # noqa: RUF071 - character by character is what is meant


@dataclass
class BatchRun(Run):
    """A DAG run of a batch, whose destination holds an earlier batch's manifest."""

    tasks_of_dag: ClassVar[Sequence[str]] = ("batch",)

    @property
    def _prompts(self) -> dict[str, str]:
        return {f"A{number}": f"A lighthouse, {self.folder.name}, {number}" for number in range(ROWS)}

    def _conf(self, arguments: dict[str, Any]) -> dict[str, Any]:
        requests = self.folder / "rows.jsonl"
        rows = [{"sku": key, "prompt": prompt, "model": _MODEL} for key, prompt in self._prompts.items()]
        rows[0]["model"] = _FIRST_MODEL
        requests.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.landed.mkdir()
        (self.landed / MANIFEST).write_text(EARLIER_MANIFEST)
        return {"requests": str(requests), "destination": str(self.landed), "arguments": arguments}

    def proceed_to_failpoint(self) -> None:
        """Leave the halt for the failpoint itself, where the two differ."""
        super().proceed_to_failpoint()
        if self.failpoint.some_end:
            self.evolink.control.advance(_UNTIL_FIRST_ENDS)

    @property
    def is_at_failpoint(self) -> bool:
        """Whether the run has reached the failpoint."""
        statuses = {generation["status"] for generation in self.evolink.control.state()["generations"]}
        return super().is_at_failpoint and ("completed" in statuses or not self.failpoint.some_end)

    def facts(self) -> BatchFacts:
        """Gather what the invariants are checked against."""
        generations = self.evolink.control.state()["generations"]
        manifest = self.landed / MANIFEST
        return BatchFacts(
            prompts=self._prompts,
            generations=generations,
            delivered=delivered(generations),
            files=batch_invariants.files_of(self.landed, manifest),
            manifest=manifest.read_text() if manifest.exists() else None,
            ledger=batch_rows_of(self.api, f"{self.path}/taskInstances/batch"),
            log=self.log(),
            state=self.state_of("batch"),
            summary=self.xcom("batch"),
        )
