# SPDX-License-Identifier: Apache-2.0
"""Operator that uploads files to EvoLink, for models that take their media as links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.compat import BaseOperator
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.execution.literals import check_literals, literal_errors
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID, EvoLinkHook

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_evolink.types import UploadRecord


class EvoLinkUploadOperator(BaseOperator):
    """Upload an image, a video or an audio file to EvoLink, and return its link. Free.

    The operators that generate upload by themselves what a model takes as a link. Use this one to share a link between
    tasks, or to see a file's id. EvoLink serves the file to anybody who has the link, and deletes it after 72 hours
    (documented). A retry uploads again, which costs nothing, and gives another link.

    :param source: a local path, a storage URI such as ``s3://conn_id@bucket/key``, an ``ObjectStoragePath``, a public
        http or https link, which EvoLink fetches, or a list of these (templated). png, jpeg, webp and gif images are
        documented; EvoLink's own clients upload video and audio too, and nothing larger than 95 MB.
    :param evolink_conn_id: connection of type ``evolink`` or ``http`` (templated).
    :return: ``{link, expires_at, file_id, content_type, size, sha256, source}``, ``expires_at`` in ISO 8601; for a list
        of sources a list of these, in its order. ``sha256`` is ``None`` for a link, ``source`` has no credentials.
    :raises EvoLinkFailException: a source can't be read, is of another type, empty or too large, or EvoLink rejects it
        or stores as many files as it may. A retry would fail too.
    :raises EvoLinkError: a file could not be read or uploaded. A retry uploads again.
    """

    template_fields: Sequence[str] = ("source", "evolink_conn_id")
    ui_color = "#e9e2ff"

    def __init__(
        self,
        *,
        source: str | ObjectStoragePath | Sequence[str | ObjectStoragePath] | XComArg,
        evolink_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source: Any = source
        self.evolink_conn_id = evolink_conn_id
        with literal_errors(self.task_id):
            check_literals(vars(self))

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Prepare a mapped task, whose literals are checked as those of any other."""
        with literal_errors(kwargs.get("task_id")):
            check_literals(kwargs)
        return super().partial(**kwargs)

    def execute(self, context: Context) -> UploadRecord | list[UploadRecord]:  # noqa: ARG002
        """Upload the files one after the other."""
        hook = EvoLinkHook(self.evolink_conn_id)
        with airflow_errors():
            if isinstance(self.source, str) or not isinstance(self.source, Sequence):
                return self._upload(hook, self.source)
            return [self._upload(hook, source) for source in self.source]

    def _upload(self, hook: EvoLinkHook, source: str | ObjectStoragePath) -> UploadRecord:
        from airflow_provider_evolink.hooks.upload_source import without_credentials

        uploaded, shown = hook.upload(source), without_credentials(source)
        self.log.info("Uploaded %s as %s, until %s.", shown, uploaded.file_id, uploaded.expires_at)
        return {
            "link": uploaded.link,
            "expires_at": uploaded.expires_at.isoformat(timespec="seconds"),
            "file_id": uploaded.file_id,
            "content_type": uploaded.content_type,
            "size": uploaded.size,
            "sha256": uploaded.sha256,
            "source": shown,
        }
