# SPDX-License-Identifier: Apache-2.0
"""Classify and describe storage errors: whether a retry can succeed, and why the write failed. Pure.

Every fsspec file system fails in its own way: with an ``OSError``, with its client's error, or with one of them chained
to the other. The HTTP status decides most cases, error codes and messages the rest.
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
_UNAUTHORIZED = 401
# Temporary refusals: the token gets renewed, the clock synchronized, or someone has aborted the upload. Google's errors
# say themselves that they are (``retryable``).
_TEMPORARY = frozenset(
    {"ExpiredToken", "TokenRefreshRequired", "RequestTimeTooSkewed", "RequestExpired", "NoSuchUpload"}
)
_NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "CredentialUnavailableError"}
)
# Refusals of the credentials themselves, whatever they are used for.
_BAD_CREDENTIALS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"})
# Azure's token service refuses a service principal without a status, and its storage a key with a denial.
_BAD_LOGIN, _BAD_KEY = "ClientAuthenticationError", "failed to authenticate the request"
_NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound"})
_NOT_SUPPORTED = frozenset({errno.ENOSYS, errno.ENOTSUP})
# Where the client's message ends and the storage's raw response begins.
_RAW_RESPONSE = re.compile(r"<[?!A-Za-z]|RequestId:|Content: ")
_XML_REASON = re.compile(r"<(?:Code|Message)>([^<]+)<")


def already_exists(error: BaseException) -> bool:
    """Return whether the storage refused to write because a file of that name exists."""
    return any(isinstance(cause, FileExistsError) or _status(cause) in _CONFLICT for cause in _chain(error))


def lost_its_parts(error: BaseException) -> bool:
    """Return whether the parts of an upload are gone: Azure drops those of all others once one is completed."""
    return any(_code(cause) == "InvalidBlockList" for cause in _chain(error))


def is_denied(error: BaseException) -> bool:
    """Return whether the storage denies access to these credentials."""
    return any(
        isinstance(cause, PermissionError)
        or _status(cause) in _DENIED
        or _is_forbidden(cause)
        or type(cause).__name__ == _BAD_LOGIN
        for cause in _chain(error)
    )


def lacks_conditional_writes(error: BaseException) -> bool:
    """Return whether the storage, or its client, does not support conditional writes."""
    return any(
        isinstance(cause, NotImplementedError)
        or (isinstance(cause, OSError) and cause.errno in _NOT_SUPPORTED)
        or _status(cause) in _NOT_IMPLEMENTED
        for cause in _chain(error)
    )


def write_error(target: StorageTarget, error: Exception) -> LandingError:
    """Turn a failed write into an error of this package.

    :return: a :class:`StorageRefusedError` if a retry would be refused too.
    """
    reason = describe(error)
    if not target.is_local and (refusal := _refusal(target, error)):
        return StorageRefusedError(
            f"The result could not be written to {target.uri}: {refusal} ({reason}).",
            advice="A retry is refused again: fix that, then clear this task, which lands it and pays for nothing.",
        )
    advice = "A retry lands it again, at no cost: nothing is generated again."
    return LandingError(f"The result could not be written to {target.uri}: {reason}.", advice=advice)


def list_error(folder: StorageTarget, error: Exception) -> LandingError:
    """Turn a failed listing of a folder into an error of this package.

    :return: a :class:`StorageRefusedError` if a retry would be refused too.
    """
    facts = f"The files in {folder.uri} can't be listed"
    refusal = _refusal(folder, error)
    if refusal:
        advice = "A retry is refused again: fix that, then clear this task, which pays for nothing twice."
        return StorageRefusedError(f"{facts}: {refusal} ({describe(error)}).", advice=advice)
    advice = "A retry lists them again, and pays for nothing twice."
    return LandingError(f"{facts}: {describe(error)}.", advice=advice)


def check_error(folder: StorageTarget, error: Exception) -> LandingError | None:
    """Turn a failed look at a bucket into the error that keeps a generation from being paid for.

    :return: a :class:`StorageRefusedError` if a retry would be refused too; ``None`` if a file may be written all the
        same, as with credentials that may write and not list, or a storage without this request.
    """
    causes = list(_chain(error))
    refusal = _refusal(folder, error)
    if refusal and (not is_denied(error) or any(map(_are_credentials_bad, causes))):
        advice = "A retry is refused again: fix that, then clear this task."
        return StorageRefusedError(f"Nothing can land at {folder.uri}: {refusal} ({describe(error)}).", advice=advice)
    if refusal or lacks_conditional_writes(error):
        return None
    facts = f"The storage of {folder.uri} can't be used at the moment: {describe(error)}."
    return LandingError(facts, advice="A retry tries again.")


def _are_credentials_bad(error: BaseException) -> bool:
    is_known = _code(error) in _BAD_CREDENTIALS or _status(error) == _UNAUTHORIZED
    return is_known or type(error).__name__ == _BAD_LOGIN or _BAD_KEY in str(error)


def is_missing_folder(error: BaseException) -> bool:
    """Return whether there is no such folder, although there is the bucket for it."""
    causes = list(_chain(error))
    return any(isinstance(cause, FileNotFoundError) for cause in causes) and not any(map(_is_missing_bucket, causes))


def _is_missing_bucket(error: BaseException) -> bool:
    return _code(error) in _NO_BUCKET


def describe(error: BaseException) -> str:
    """Describe an error by its type and message: one short text without markup, and without a stop at its end."""
    text = str(error)
    message = _RAW_RESPONSE.split(text, maxsplit=1)[0].rstrip(" \n:")
    # A raw response may be shown as bytes.
    message = message.removesuffix("b'").removesuffix('b"').strip(" \n:")
    reason = message if len(message) > 1 else ": ".join(_XML_REASON.findall(text))
    return f"{type(error).__name__}: {sanitize(reason, '') or 'no reason given'}".rstrip(". ")


def _refusal(target: StorageTarget, error: Exception) -> str | None:
    causes = list(_chain(error))
    credentials = f"connection {target.conn_id!r}" if target.conn_id else "the worker's own credentials (no connection)"
    bucket = f"bucket {target.bucket!r}" if target.is_object_store else "this folder"
    if any(_code(cause) in _TEMPORARY or getattr(cause, "retryable", None) is True for cause in causes):
        return None
    if is_denied(error):
        return f"no access to {bucket} with {credentials}"
    if any(type(cause).__name__ in _NO_CREDENTIALS for cause in causes):
        return f"no credentials for {bucket}"
    is_missing = any(isinstance(cause, FileNotFoundError) or _status(cause) in _NOT_FOUND for cause in causes)
    return f"{bucket} not found with {credentials}" if target.is_object_store and is_missing else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _response(error: BaseException) -> Mapping[str, object]:
    response = getattr(error, "response", None)
    return response if isinstance(response, Mapping) else {}


def _status(error: BaseException) -> int | None:
    """Return the HTTP status from where botocore, Azure's and Google's clients keep it."""
    metadata = _response(error).get("ResponseMetadata")
    status = metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else None
    for name in ("status_code", "status", "code"):
        value = getattr(error, name, None)
        status = status or (value if isinstance(value, int) else None)
    return status if isinstance(status, int) else None


def _code(error: BaseException) -> str | None:
    details = _response(error).get("Error")
    code = details.get("Code") if isinstance(details, Mapping) else getattr(error, "error_code", None)
    return str(code) if code else None


def _is_forbidden(error: BaseException) -> bool:
    """Return whether this is how gcsfs reports HTTP 403."""
    return isinstance(error, OSError) and str(error).startswith("Forbidden:")
