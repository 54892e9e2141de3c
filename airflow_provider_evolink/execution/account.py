# SPDX-License-Identifier: Apache-2.0
"""What this package needs of an EvoLink account; ``EvoLinkHook`` has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Credits, Generation, Submission
    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.api.settings import Settings
    from airflow_provider_evolink.media.resolver import UploadPolicy


class Account(Protocol):
    """An EvoLink account, by the id of its connection; see the methods of ``EvoLinkHook``."""

    evolink_conn_id: str

    @property
    def log(self) -> Any: ...  # noqa: D102
    @property
    def settings(self) -> Settings: ...  # noqa: D102
    def prepare(  # noqa: D102
        self,
        model: str,
        parameters: Mapping[str, Any],
        *,
        media_type: str | None = None,
        upload: UploadPolicy = "auto",
    ) -> GenerationRequest: ...
    def media_links(self, request: GenerationRequest) -> Mapping[str, str]: ...  # noqa: D102
    def submit(self, request: GenerationRequest, idempotency_key: str) -> Submission: ...  # noqa: D102
    def get_credits(self) -> Credits: ...  # noqa: D102
    def get_generation(self, generation_id: str) -> Generation: ...  # noqa: D102
