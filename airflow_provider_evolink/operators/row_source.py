# SPDX-License-Identifier: Apache-2.0
"""Find the rows of a batch in what its task is given: a sequence, or a text file wherever Airflow can reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from os import PathLike
from pathlib import PurePosixPath
from typing import Any, Literal

from airflow_provider_evolink.api.addresses import without_secrets
from airflow_provider_evolink.api.coercion import RENDERED_TEXT_HINT
from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError, UnreadableInputError
from airflow_provider_evolink.batch.rows import RowTable
from airflow_provider_evolink.batch.text_rows import TextSource
from airflow_provider_evolink.hooks.storage_file import input_path
from airflow_provider_evolink.landing.staged_file import BLOCK_BYTES
from airflow_provider_evolink.landing.storage_errors import describe

_FORMATS: Mapping[str, Literal["jsonl", "csv"]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_SLICE = 100
_FILE = "the path or URI of a .jsonl, .ndjson or .csv file"
_ALLOWED = f"a list of mappings, or {_FILE}"


def row_table(requests: object, key: object) -> RowTable:
    """Return the rows of a batch. Nothing is read yet.

    :param requests: a sequence of mappings, also a lazy one; or a path, a URI such as ``s3://conn_id@bucket/rows.csv``
        or an ``ObjectStoragePath``: JSON Lines (.jsonl, .ndjson) or CSV (.csv), in UTF-8.
    :param key: the field that names a row.
    :return: the rows. Reading them raises an :class:`UnreadableInputError` if there is no such file, and a
        ``ConnectionError`` if its storage is unreachable.
    :raises InvalidInputError: it is neither, or the file has another format.
    """
    if not isinstance(key, str) or not key.strip():
        raise InvalidInputError("key", key, "the name of the field that names a row")
    if isinstance(requests, str | PathLike) or hasattr(requests, "open"):
        return RowTable(_text_source(str(requests)), key)
    if not isinstance(requests, Sequence) or isinstance(requests, bytes | bytearray):
        raise InvalidInputError("requests", None if requests is None else type(requests), _ALLOWED)
    return RowTable(_Slices(requests) if _is_lazy(requests) else requests, key)


class _Slices:
    """The results of mapped tasks, a hundred with one request.

    Iterating over them takes a request for each, and takes one that was not found for their end.
    """

    def __init__(self, results: Sequence[Any]) -> None:
        self._results = results

    def __iter__(self) -> Iterator[Any]:
        for start in count(0, _SLICE):
            part = self._results[start : start + _SLICE]
            yield from part
            if len(part) < _SLICE:
                return


def _is_lazy(requests: Sequence[Any]) -> bool:
    from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

    return isinstance(requests, LazyXComSequence)


def _text_source(location: str) -> TextSource:
    suffix = PurePosixPath(location).suffix.lower()
    if suffix not in _FORMATS:
        raise InvalidInputError("requests", without_secrets(location), _allowed_instead(location, suffix))
    return TextSource(str(without_secrets(location)), _FORMATS[suffix], lambda: _lines(location))


def _allowed_instead(text: str, suffix: str) -> str:
    if text.lstrip().startswith(("[", "{")):
        return f"{_ALLOWED}{RENDERED_TEXT_HINT}"
    if suffix == ".json":
        return f"{_ALLOWED}; write the objects of a JSON list on a line each, and name the file .jsonl"
    return f"{_ALLOWED}{RENDERED_TEXT_HINT}"


@contextmanager
def _lines(location: str) -> Iterator[Iterator[str]]:
    """Open a text file, and turn what goes wrong until it is closed into errors about it."""
    try:
        path = input_path(location)
        with path.fs.open(path.path, "r", encoding="utf-8", newline="", block_size=BLOCK_BYTES) as file:
            yield file
    except (EvoLinkError, ConnectionError, TimeoutError):
        raise
    except (OSError, ValueError, ImportError) as error:
        allowed = f"{_FILE} that can be read ({describe(error)})"
        raise UnreadableInputError("requests", without_secrets(location), allowed) from None
    except Exception as error:
        # Storage clients have exceptions of their own, most of them transient.
        raise ConnectionError(
            f"{without_secrets(location)} can't be read at the moment ({error}). A retry reads it again, and pays for "
            "nothing twice."
        ) from error
