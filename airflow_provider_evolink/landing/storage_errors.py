# SPDX-License-Identifier: Apache-2.0
"""
What a storage's failure means, in words and for a retry. Pure.

Every fsspec file system fails in its own way: with an ``OSError``, with its client's error, or with one inside the
other. Their HTTP status tells most, and their own words the rest.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping

from airflow_provider_evolink.api.errors import LandingError, StorageRefusedError
from airflow_provider_evolink.api.sanitize import sanitize
from airflow_provider_evolink.landing.storage_target import StorageTarget

_CONFLICT, _NOT_FOUND = frozenset({412}), frozenset({404})
_DENIED, _NOT_IMPLEMENTED = frozenset({401, 403}), frozenset({501})
# Refusals that pass: a token that is renewed, a clock that is set, an upload that somebody has aborted.
_PASSING = frozenset({"ExpiredToken", "TokenRefreshRequired", "RequestTimeTooSkewed", "RequestExpired", "NoSuchUpload"})
_NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"})
_NOT_SUPPORTED = frozenset({errno.ENOSYS, errno.ENOTSUP})
# Where a client's words end and the storage's raw answer begins.
_RAW = re.compile(r"<[?!A-Za-z]|RequestId:|Content: ")
_SAID_IN_XML = re.compile(r"<(?:Code|Message)>([^<]+)<")


def is_taken(error: BaseException) -> bool:
    """Whether the storage has refused to write because something lies under that name."""
    return any(isinstance(one, FileExistsError) or _status(one) in _CONFLICT for one in _chain(error))


def is_denied(error: BaseException) -> bool:
    """Whether the storage refuses whoever asks."""
    return any(
        isinstance(one, PermissionError) or _status(one) in _DENIED or _is_forbidden(one) for one in _chain(error)
    )


def lacks_conditions(error: BaseException) -> bool:
    """Whether the storage, or its client, does not know how to write only where nothing is."""
    return any(
        isinstance(one, NotImplementedError)
        or (isinstance(one, OSError) and one.errno in _NOT_SUPPORTED)
        or _status(one) in _NOT_IMPLEMENTED
        for one in _chain(error)
    )


def failure(place: StorageTarget, error: Exception) -> LandingError:
    """
    Put a failed write into words.

    :return: a :class:`StorageRefusedError` if a retry meets the same.
    """
    reason = reason_of(error)
    if not place.is_local and (refusal := _refusal(place, error)):
        return StorageRefusedError(
            f"It could not be written to {place.uri}: {refusal} ({reason}). A retry is refused again: mend that, then "
            "clear this task; it lands the result and generates nothing."
        )
    return LandingError(f"It could not be written to {place.uri}: {reason}.")


def reason_of(error: BaseException) -> str:
    """Return an error's kind and words as one short text, without markup and a stop at its end."""
    text = str(error)
    words = _RAW.split(text, maxsplit=1)[0].strip(" \n:'\"")
    words = words.removesuffix(" b") if words.endswith(" b") else words
    said = words if len(words) > 1 else ": ".join(_SAID_IN_XML.findall(text))
    return f"{type(error).__name__}: {sanitize(said, '') or 'no reason given'}".rstrip(". ")


def _refusal(place: StorageTarget, error: Exception) -> str | None:
    links = list(_chain(error))
    credentials = f"connection {place.conn_id!r}" if place.conn_id else "the worker's own credentials (no connection)"
    bucket = f"bucket {place.bucket!r}" if place.is_object_store else "this folder"
    if any(_code(one) in _PASSING for one in links):
        return None
    if is_denied(error):
        return f"{bucket} is not open to {credentials}"
    if any(type(one).__name__ in _NO_CREDENTIALS for one in links):
        return f"there are no credentials for {bucket}"
    if place.is_object_store and any(isinstance(one, FileNotFoundError) or _status(one) in _NOT_FOUND for one in links):
        return f"there is no {bucket} for {credentials}"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _response(error: BaseException) -> Mapping[str, object]:
    response = getattr(error, "response", None)
    return response if isinstance(response, Mapping) else {}


def _status(error: BaseException) -> int | None:
    """HTTP status, where botocore, Azure's and Google's clients keep it."""
    metadata = _response(error).get("ResponseMetadata")
    found = metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else None
    for name in ("status_code", "status", "code"):
        value = getattr(error, name, None)
        found = found or (value if isinstance(value, int) else None)
    return found if isinstance(found, int) else None


def _code(error: BaseException) -> str | None:
    said = _response(error).get("Error")
    code = said.get("Code") if isinstance(said, Mapping) else getattr(error, "error_code", None)
    return str(code) if code else None


def _is_forbidden(error: BaseException) -> bool:
    """How gcsfs says 403."""
    return isinstance(error, OSError) and str(error).startswith("Forbidden:")
