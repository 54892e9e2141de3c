# SPDX-License-Identifier: Apache-2.0
"""What a run has read, made and written so far: noted while it works, whether anybody asks for it or not. Pure.

It is bounded, however many rows a batch has: an event about a run is a message, not a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_evolink.api.error_facts import ErrorFacts
from airflow_provider_evolink.api.generation_facts import facts_of_record, seconds_of_record
from airflow_provider_evolink.lineage.datasets import Dataset, file

MAX_DATASETS: Final = 500
MAX_GENERATIONS: Final = 100


@dataclass(frozen=True, slots=True)
class GenerationFacts:
    """What is known about a generation; ``None`` = unknown.

    :param status: EvoLink's status, or that of a batch's row.
    :param credits_reserved: credits that were reserved for it at its submission.
    :param credits_used: credits that EvoLink has charged.
    :param seconds: from its submission until its end was read; of a recovery, as EvoLink reports them.
    """

    generation_id: str
    model: str | None = None
    status: str | None = None
    credits_reserved: float | None = None
    credits_used: float | None = None
    seconds: float | None = None

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> GenerationFacts:
        """Return what the record of a generation says; a DAG may have changed it."""
        status = record.get("status")
        known = status if isinstance(status, str) else None
        return cls.of_error(facts_of_record(record), known, seconds=seconds_of_record(record))

    @classmethod
    def of_error(cls, facts: ErrorFacts, status: str | None, *, seconds: float | None = None) -> GenerationFacts:
        """Return what a task knows about its generation when it fails."""
        return cls(facts.generation_id or "", facts.model, status, facts.credits_reserved, facts.credits_used, seconds)


@dataclass
class RunLineage:
    """What a run has read, made and written so far.

    :param generations: the first :data:`MAX_GENERATIONS`, by id.
    :param generation_count: how many there are.
    :param file_count: how many files have landed.
    :param credits_reserved: of all generations; ``None`` as long as none is known.
    :param credits_used: likewise.
    """

    inputs: dict[Dataset, None] = field(default_factory=dict)
    outputs: dict[Dataset, None] = field(default_factory=dict)
    generations: dict[str, GenerationFacts] = field(default_factory=dict)
    generation_count: int = 0
    file_count: int = 0
    credits_reserved: float | None = None
    credits_used: float | None = None

    @property
    def takes_inputs(self) -> bool:
        """Whether more inputs are noted."""
        return len(self.inputs) < MAX_DATASETS

    def add_inputs(self, datasets: Iterable[Dataset]) -> None:
        """Note what was read."""
        _add(self.inputs, datasets)

    def add_outputs(self, datasets: Iterable[Dataset]) -> None:
        """Note what was written or made."""
        _add(self.outputs, datasets)

    def put_inputs_first(self, datasets: Iterable[Dataset]) -> None:
        """Note inputs that are not to be left out, however many others there are."""
        self.inputs = {**dict.fromkeys(datasets), **self.inputs}

    def put_output_first(self, dataset: Dataset) -> None:
        """Note such an output."""
        self.outputs = {dataset: None, **self.outputs}

    def add_files(self, uris: Iterable[str]) -> None:
        """Note files that have landed."""
        datasets = list(map(file, uris))
        self.file_count += len(datasets)
        self.add_outputs(datasets)

    def add_generation(self, facts: GenerationFacts) -> None:
        """Note a generation, once."""
        if not facts.generation_id or facts.generation_id in self.generations:
            return
        self.generation_count += 1
        self.credits_reserved = _sum(self.credits_reserved, facts.credits_reserved)
        self.credits_used = _sum(self.credits_used, facts.credits_used)
        if len(self.generations) < MAX_GENERATIONS:
            self.generations[facts.generation_id] = facts


def _add(known: dict[Dataset, None], datasets: Iterable[Dataset]) -> None:
    for dataset in datasets:
        if len(known) >= MAX_DATASETS:
            return
        known[dataset] = None


def _sum(total: float | None, credits_: float | None) -> float | None:
    return total if credits_ is None else (total or 0.0) + credits_
