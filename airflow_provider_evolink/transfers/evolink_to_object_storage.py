# SPDX-License-Identifier: Apache-2.0
"""Transfer that lands a generation's results: from EvoLink's short-lived URLs into storage that the user owns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_evolink.api.error_facts import ErrorFacts
from airflow_provider_evolink.api.generation import is_generation_id
from airflow_provider_evolink.api.generation_facts import facts_of_record
from airflow_provider_evolink.compat import BaseOperator
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.execution.landing_step import LandingStep
from airflow_provider_evolink.execution.literals import check_literals, literal_errors
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID, EvoLinkHook
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN
from airflow_provider_evolink.landing.sources import generations_in
from airflow_provider_evolink.lineage.datasets import Dataset, generation
from airflow_provider_evolink.lineage.run import GenerationFacts, RunLineage
from airflow_provider_evolink.links.evolink import EvoLinkWatchLink
from airflow_provider_evolink.operators.lineage import LineageMethods

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_evolink.types import LandedFile


class EvoLinkToObjectStorageOperator(LineageMethods, BaseOperator):
    """Copy every result of a generation to object storage or a file system, and return what was written where.

    Each file is downloaded in constant memory, checked (size, media type by its first bytes, SHA-256) and gets its
    final name only once it is complete. A file that is already there with the same content is kept, and a retry does
    not download it again. A file that this task did not write is never replaced unless ``on_existing`` says so. Nothing
    is ever generated again. The API key is not sent to the hosts of the results.

    A result that can't be landed does not hold up the others: they land first, then the task fails with its error.
    After three consecutive failures that a retry may fix, the remaining results are left to the retry. Downloading one
    file may take an hour, including all attempts, waits and renewed links; ``execution_timeout`` limits the whole task.
    A file of unknown type lands as the server's Content-Type says, with a warning; web pages, other text and archives
    are rejected. A plain http URL is requested over https.

    A link that is dead, or returns a page instead of the file, is renewed once through the API (EvoLink's own client
    advises that; undocumented). Most links are valid for 24 hours (documented).

    Asset events: an ``AssetAlias`` in ``outlets`` gets one event per file, with the file's entry of the returned list
    as extra, and ``model``, ``credits`` (of its generation) and ``prompt`` (shortened) as far as they are known; an
    ``Asset`` in ``outlets`` gets one event with the whole list as ``extra["landed"]``. For a fan-out (a mapped task,
    many runs) use the alias: of several events for the same ``Asset``, a consumer's run may get only the first, and the
    others with the next run.

    :param generation: the record that ``EvoLinkGenerateOperator`` returns (``generate.output``), a list of records
        (of a mapped task), or a generation's id (templated). An id, or a record made before the generation ended, costs
        one free read.
    :param destination: the target folder: an absolute path, a URI such as ``s3://conn_id@bucket/videos``, or an
        ``ObjectStoragePath`` (templated). Folders are created; a bucket is not. Everything that can be checked without
        a request is checked before the first download.
    :param filename_pattern: file name below ``destination`` (templated), with the fields ``{generation_id}``,
        ``{index}`` (from 0; also ``{index:03d}``), ``{ext}``, ``{kind}`` (video, audio or image), ``{role}`` (result,
        preview, or cover of a song or a video) and ``{model}``, in single braces, and ``/`` for subfolders.
    :param on_existing: what to do when a file already has a result's name, and this task instance did not write it or
        it was changed since: ``fail`` (default) keeps it and fails the task with the facts, ``replace`` puts the result
        in its place, ``skip`` keeps it and leaves the result out of the returned list. Identical content counts as
        landed in any case.
    :param asset_name: name of each file's asset, if ``outlets`` has an ``AssetAlias`` (templated), with the fields that
        ``filename_pattern`` has, such as ``videos/{generation_id}/{index}``. Its URI is ``evolink://`` and that name,
        percent-encoded; so is the name, outside ASCII. ``None`` = the asset has the file's URI for both.
    :param evolink_conn_id: connection of type ``evolink`` or ``http`` (templated). Results may be on this machine only
        if the connection's host is; its ``verify`` and ``proxy`` apply to the hosts of the results too.
    :return: ``[{uri, bytes, sha256, content_type, generation_id, storage_conn_id, poster}]`` in the order of the
        results; empty if the model makes no files. ``uri`` contains no connection id: it is in ``storage_conn_id``.
        ``poster`` is the URI of a small JPEG that shows the file, or ``None``.
    :raises EvoLinkFailException: invalid input, a link that is dead for good or unsafe to follow, a failed generation,
        another file under a result's name, or storage that refuses the connection. A retry would fail too.
    :raises LandingError: a result could not be downloaded or written, or EvoLink lists no file for a completed
        generation. A retry tries again and lands only what is missing.
    """

    template_fields: Sequence[str] = ("generation", "destination", "filename_pattern", "asset_name", "evolink_conn_id")
    operator_extra_links = (EvoLinkWatchLink(),)
    ui_color = "#e9e2ff"

    def __init__(
        self,
        *,
        generation: Mapping[str, Any] | Sequence[Mapping[str, Any] | str] | str | XComArg,
        destination: str | ObjectStoragePath | XComArg,
        filename_pattern: str = DEFAULT_PATTERN,
        on_existing: Literal["fail", "replace", "skip"] = "fail",
        asset_name: str | None = None,
        evolink_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.generation: Any = generation
        self.destination: Any = destination
        self.filename_pattern = filename_pattern
        self.on_existing = on_existing
        self.asset_name = asset_name
        self.evolink_conn_id = evolink_conn_id
        self._lineage = RunLineage()
        with literal_errors(self.task_id):
            check_literals(vars(self), required=("destination",))

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Prepare a mapped task, whose literals are checked as those of any other."""
        with literal_errors(kwargs.get("task_id")):
            check_literals(kwargs, required=("destination",))
        return super().partial(**kwargs)

    def execute(self, context: Context) -> list[LandedFile]:
        """Land every result in turn; if one fails, land the others before raising its error."""
        step = LandingStep(
            destination=self.destination,
            filename_pattern=self.filename_pattern,
            on_existing=self.on_existing,
            outlets=self.outlets,
            hook=EvoLinkHook(self.evolink_conn_id),
            log=self.log,
            asset_name=self.asset_name,
            lineage=self._lineage,
        )
        with airflow_errors(self._known):
            return step.land(context, self.generation)

    def _inputs(self) -> Iterable[Dataset]:
        return map(generation, generations_in(self.generation))

    def _note_failure(self) -> None:
        self._lineage.add_generation(GenerationFacts.of_error(self._known(), None))

    def _known(self) -> ErrorFacts:
        """Return what is known about the generation if a single one was given, for the errors of this task."""
        given = {"generation_id": self.generation} if is_generation_id(self.generation) else self.generation
        facts = facts_of_record(given) if isinstance(given, Mapping) else ErrorFacts()
        return replace(facts, conn_id=str(self.evolink_conn_id))
