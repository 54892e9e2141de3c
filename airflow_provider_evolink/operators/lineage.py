# SPDX-License-Identifier: Apache-2.0
"""What OpenLineage's provider calls on an operator, in the process of its task, at the start and the end of each run.

Without that provider, or with it disabled, nothing calls these methods, and OpenLineage is not imported. A failure in
them is a warning in the task's log.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.lineage.run import RunLineage

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_evolink.lineage.datasets import Dataset


class LineageMethods:
    """Base of every operator that reports to OpenLineage what its run has read, made and written.

    A run that is resumed after a deferral has a new operator: what its event says comes from its arguments, and from
    what this process has read, such as the record.
    """

    log: Any
    _lineage: RunLineage

    @property
    def has_landed(self) -> bool:
        """Whether this run has landed files, or found what an earlier one has landed."""
        return self._lineage.file_count > 0

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """Return what the run is about to read."""
        return self._openlineage()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002
        """Return what the run has read, made and written."""
        return self._openlineage()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002
        """Return the same as far as the run has got, with what is paid for."""
        self._note_failure()
        return self._openlineage()

    def _openlineage(self) -> OperatorLineage[Any, Any]:
        from airflow_provider_evolink.operators.openlineage import operator_lineage

        self._lineage.put_inputs_first(self._known_inputs())
        return operator_lineage(self._lineage)

    def _known_inputs(self) -> list[Dataset]:
        """Return the inputs, none of them if the arguments make no sense: that is for the checks of the run to say."""
        try:
            return list(self._inputs())
        except Exception as error:
            self.log.warning("The inputs of this run are not known to OpenLineage (%r).", error)
            return []

    def _inputs(self) -> Iterable[Dataset]:
        """Return what the arguments say that the run reads."""
        return ()

    def _note_failure(self) -> None:
        """Note what is known about a generation that has not become a result."""
