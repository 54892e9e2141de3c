# SPDX-License-Identifier: Apache-2.0
"""Requests with local media, without Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from airflow_provider_evolink.api import request
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.request import GenerationRequest
from airflow_provider_evolink.media.resolver import MediaResolver

LINK = "https://example.com/media"


class LocalFile:
    """A local file, which counts how often it is opened."""

    opened: list[str] = []  # noqa: RUF012

    def __init__(self, location: str) -> None:
        self._path = Path(location.removeprefix("file://"))
        self.source = str(self._path)

    def version(self) -> str:
        status = self._path.stat()
        return f"{self._path}:{status.st_mtime_ns}:{status.st_size}"

    def open(self) -> BinaryIO:
        self.opened.append(self.source)
        return self._path.open("rb")


def prepare(model: str, parameters: Mapping[str, Any], **options: Any) -> GenerationRequest:
    """Make a request, as the hook does."""
    media_type = options.pop("media_type", None)
    resolve = MediaResolver(LocalFile, **options)
    return request.prepare(model, parameters, media_type=media_type, resolve_media=resolve)


def refused(model: str, parameters: Mapping[str, Any], **options: Any) -> InvalidInputError:
    """Return the error that rejects these parameters."""
    with pytest.raises(InvalidInputError) as raised:
        prepare(model, parameters, **options)
    return raised.value
