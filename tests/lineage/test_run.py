# SPDX-License-Identifier: Apache-2.0
"""Tests of what is noted about a run, and that it stays small."""

from __future__ import annotations

from airflow_provider_evolink.api.generation import Generation, Usage
from airflow_provider_evolink.lineage.datasets import file, generation
from airflow_provider_evolink.lineage.run import MAX_DATASETS, MAX_GENERATIONS, GenerationFacts, RunLineage
from airflow_provider_evolink.result import Origin, build_record

ENDED = Generation(
    "task-unified-1", "completed", model="m", links=("https://x.test/a",), usage=Usage(credits_used=28.0)
)
ORIGIN = Origin(1000.0, "m", credits_reserved=30.0)


def test_facts_of_a_record() -> None:
    """A record says what the generation cost and how long it took."""
    facts = GenerationFacts.of_record(build_record(ENDED, ORIGIN, now=1090.0))

    assert facts == GenerationFacts("task-unified-1", "m", "completed", 30.0, 28.0, 90.0)


def test_facts_of_an_edited_record() -> None:
    """A record that a DAG has changed has unknown facts rather than wrong ones."""
    record = {"generation_id": "task-unified-1", "submitted_at": "yesterday", "usage": "free"}

    assert GenerationFacts.of_record(record) == GenerationFacts("task-unified-1")


def test_a_generation_counts_once() -> None:
    """What several steps note about the same generation is one generation, with one price."""
    run = RunLineage()
    for _ in range(3):
        run.add_generation(GenerationFacts("task-unified-1", credits_reserved=30.0, credits_used=28.0))
    run.add_generation(GenerationFacts("", "m"))

    assert (run.generation_count, run.credits_reserved, run.credits_used) == (1, 30.0, 28.0)


def test_unknown_credits() -> None:
    """Credits that nobody knows are not zero credits."""
    run = RunLineage()
    run.add_generation(GenerationFacts("task-unified-1"))

    assert (run.credits_reserved, run.credits_used) == (None, None)


def test_a_large_run_stays_small() -> None:
    """Of many rows the first are listed, all are counted, and the table and the manifest are never left out."""
    run, count = RunLineage(), 5 * MAX_DATASETS
    for number in range(count):
        run.add_generation(GenerationFacts(f"task-unified-{number}", credits_used=1.0))
        run.add_inputs([generation(f"task-unified-{number}")])
        run.add_files([f"file:///videos/{number}.mp4"])
    run.put_inputs_first([file("/table.csv")])
    run.put_output_first(file("/manifest.jsonl"))

    assert (run.generation_count, run.file_count, run.credits_used) == (count, count, count)
    assert len(run.generations) == MAX_GENERATIONS
    assert next(iter(run.inputs)) == file("/table.csv")
    assert next(iter(run.outputs)) == file("/manifest.jsonl")
    assert len(run.inputs) == len(run.outputs) == MAX_DATASETS + 1
