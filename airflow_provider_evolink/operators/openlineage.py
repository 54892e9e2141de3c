# SPDX-License-Identifier: Apache-2.0
"""Put what is known about a run into OpenLineage's classes; only its provider, once it asks, has this imported."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from airflow.providers.openlineage.extractors import OperatorLineage
from attrs import define
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import RunFacet

from airflow_provider_evolink.lineage.run import GenerationFacts, RunLineage

FACET: Final = "evolink_generations"
# As OpenLineage asks: an https URL with a version, which never means another schema. The project has no public address
# yet, and nobody can own a host below .invalid.
_SCHEMA: Final = "https://airflow-provider-evolink.invalid/lineage/1-0-0/EvoLinkGenerationsRunFacet.json"


@define
class EvoLinkGenerationsRunFacet(RunFacet):
    """The generations of a run, their models and what they cost; the schema is a file of the package ``lineage``."""

    generations: list[dict[str, Any]]
    generationCount: int  # noqa: N815 - OpenLineage's names are in camel case
    fileCount: int  # noqa: N815
    creditsReserved: float | None = None  # noqa: N815
    creditsUsed: float | None = None  # noqa: N815

    _additional_skip_redact: ClassVar[list[str]] = ["generationCount", "fileCount", "creditsReserved", "creditsUsed"]

    @staticmethod
    def _get_schema() -> str:
        return f"{_SCHEMA}#/$defs/EvoLinkGenerationsRunFacet"


def operator_lineage(run: RunLineage) -> OperatorLineage[Any, Any]:
    """Return what OpenLineage's provider puts into the event about a run.

    :param run: as far as it has got; without generations it gets no facet.
    """
    return OperatorLineage(
        inputs=[InputDataset(*dataset) for dataset in run.inputs],
        outputs=[OutputDataset(*dataset) for dataset in run.outputs],
        run_facets={FACET: _facet(run)} if run.generation_count else {},
    )


def _facet(run: RunLineage) -> EvoLinkGenerationsRunFacet:
    return EvoLinkGenerationsRunFacet(
        generations=list(map(_as_json, run.generations.values())),
        generationCount=run.generation_count,
        fileCount=run.file_count,
        creditsReserved=run.credits_reserved,
        creditsUsed=run.credits_used,
    )


def _as_json(facts: GenerationFacts) -> dict[str, Any]:
    return {
        "generationId": facts.generation_id,
        "model": facts.model,
        "status": facts.status,
        "creditsReserved": facts.credits_reserved,
        "creditsUsed": facts.credits_used,
        "durationSeconds": facts.seconds,
    }
