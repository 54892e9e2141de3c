# SPDX-License-Identifier: Apache-2.0
"""How storage errors are classified and described."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from airflow_provider_evolink.api.errors import LandingError, StorageRefusedError
from airflow_provider_evolink.landing.storage_errors import (
    already_exists,
    check_error,
    describe,
    lacks_conditional_writes,
    lost_its_parts,
    write_error,
)
from airflow_provider_evolink.landing.storage_target import StorageTarget

S3 = StorageTarget(None, "videos/a/0.mp4", "s3", "store")
AZURE = StorageTarget(None, "box/a/0.mp4", "abfs", None)
XML = (
    "The specified container does not exist.\nRequestId:5-1\nTime:2026\nErrorCode:ContainerNotFound\n"
    'Content: <?xml version="1.0"?><Error><Code>ContainerNotFound</Code><Message>Not there.</Message></Error>'
)


def aws(code: str, status: int, message: str = "Because.") -> Exception:
    """Return an error as s3fs raises it: chained to botocore's."""
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = OSError(errno.EIO, message)
    error.__cause__ = ClientError(response, "PutObject")
    return error


class AzureError(Exception):
    """An error as Azure's client raises it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status_code = status


class GoogleError(Exception):
    """An error as gcsfs raises it."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ClientAuthenticationError(Exception):
    """An error as Azure's token service causes it: without a status."""


class RefreshError(Exception):
    """An error as Google's library raises it, if its token service fails for now."""

    retryable = True


def google_login(retryable: bool) -> Exception:
    """Return an error as gcsfs raises it if there is no access token."""
    error = GoogleError("Invalid Credentials, 401", 401)
    error.__cause__ = RefreshError("busy") if retryable else ValueError("invalid_grant")
    return error


def wrapped(error: Exception) -> Exception:
    """Return an error as adlfs raises it: chained to Azure's."""
    outer = RuntimeError(f"Failed to upload block: {error}!")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("target", "error", "facts"),
    [
        (S3, aws("NoSuchBucket", 404), ("bucket 'videos'", "not found", "connection 'store'")),
        (S3, aws("AccessDenied", 403), ("bucket 'videos'", "no access", "connection 'store'")),
        (S3, aws("InvalidAccessKeyId", 403), ("bucket 'videos'", "no access", "connection 'store'")),
        (S3, aws("SignatureDoesNotMatch", 403), ("bucket 'videos'", "no access", "connection 'store'")),
        (S3, PermissionError("no"), ("bucket 'videos'", "no access", "connection 'store'")),
        (S3, NoCredentialsError(), ("bucket 'videos'", "no credentials")),
        (AZURE, wrapped(AzureError(XML, 404)), ("bucket 'box'", "not found", "the worker's own credentials")),
        (AZURE, wrapped(AzureError("no", 403)), ("bucket 'box'", "no access", "the worker's own credentials")),
        (
            StorageTarget(None, "b/0.mp4", "gs"),
            OSError("Forbidden: b/o\nno access"),
            ("bucket 'b'", "no access", "the worker's own credentials"),
        ),
        (StorageTarget(None, "b/0.mp4", "gs"), GoogleError("Invalid Credentials", 401), ("bucket 'b'", "no access")),
        (
            StorageTarget(None, "/b/0.mp4", "sftp", "host"),
            PermissionError("no"),
            ("this folder", "no access", "connection 'host'"),
        ),
    ],
)
def test_refusal(target: StorageTarget, error: Exception, facts: tuple[str, ...]) -> None:
    """A wrong bucket or wrong credentials are named, and a retry is not advised."""
    failure = write_error(target, error)
    assert isinstance(failure, StorageRefusedError)
    assert failure.permanent
    for fact in facts:
        assert fact in str(failure)
    assert "<" not in str(failure)
    assert "A retry is refused again" in str(failure)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (S3, aws("ExpiredToken", 400)),
        (S3, aws("RequestTimeTooSkewed", 403)),
        (S3, aws("NoSuchUpload", 404)),
        (S3, aws("SlowDown", 503)),
        (S3, aws("ConditionalRequestConflict", 409)),
        (S3, EndpointConnectionError(endpoint_url="http://store.test")),
        (S3, TimeoutError("slow")),
        (AZURE, wrapped(AzureError("busy", 503))),
        (StorageTarget(None, "/videos/0.mp4", "file"), PermissionError(errno.EACCES, "Permission denied")),
        (StorageTarget(None, "/videos/0.mp4", "sftp"), FileNotFoundError("gone")),
    ],
)
def test_temporary_failure(target: StorageTarget, error: Exception) -> None:
    """A failure that may be gone on the next attempt, or on another worker, does not end the retries."""
    failure = write_error(target, error)
    assert type(failure) is LandingError
    assert not failure.permanent
    assert target.uri in str(failure)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(XML), "OSError: The specified container does not exist"),
        (OSError("<?xml version='1.0'?><Error><Code>No</Code><Message>Not there.</Message>"), "OSError: No: Not there"),
        (OSError("b'<html><h1>502 Bad Gateway</h1></html>'"), "OSError: no reason given"),
        (ValueError("It ends."), "ValueError: It ends"),
        (ValueError(""), "ValueError: no reason given"),
    ],
)
def test_description(error: Exception, reason: str) -> None:
    """A description has no markup and no stop at its end, so that a sentence can continue."""
    assert describe(error) == reason
    assert ".." not in str(write_error(S3, error))


def test_parts_that_are_gone() -> None:
    """A list of blocks that Azure no longer has means that another upload was completed."""
    error = AzureError("The specified block list is invalid.", 400)
    error.error_code = "InvalidBlockList"  # type: ignore[attr-defined]
    assert lost_its_parts(wrapped(error))
    assert not lost_its_parts(wrapped(AzureError("Bad request.", 400)))


def test_conflicts_and_unsupported_conditions() -> None:
    """An existing file, and a store without conditional writes, are recognized from every client."""
    for error in (FileExistsError("x"), aws("PreconditionFailed", 412), wrapped(FileExistsError("x"))):
        assert already_exists(error)
        assert not lacks_conditional_writes(error)
    for error in (OSError(errno.ENOSYS, "x"), aws("NotImplemented", 501), NotImplementedError("x")):
        assert lacks_conditional_writes(error)
        assert not already_exists(error)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (aws("NoSuchBucket", 404), StorageRefusedError),
        (aws("InvalidAccessKeyId", 403), StorageRefusedError),
        (aws("SignatureDoesNotMatch", 403), StorageRefusedError),
        (aws("Unauthorized", 401), StorageRefusedError),
        (NoCredentialsError(), StorageRefusedError),
        (aws("AccessDenied", 403), None),
        (PermissionError("no"), None),
        (aws("NotImplemented", 501), None),
        (NotImplementedError(), None),
        (aws("RequestTimeTooSkewed", 403), LandingError),
        (aws("SlowDown", 503), LandingError),
        (EndpointConnectionError(endpoint_url="http://x"), LandingError),
        (TimeoutError("no response within 20 s"), LandingError),
        (wrapped(AzureError("Server failed to authenticate the request.", 403)), StorageRefusedError),
        (wrapped(AzureError("This request is not authorized to perform this operation.", 403)), None),
        (ClientAuthenticationError("AADSTS7000215: Invalid client secret provided."), StorageRefusedError),
        (google_login(retryable=False), StorageRefusedError),
        (google_login(retryable=True), LandingError),
        (FileNotFoundError("b/videos/o"), StorageRefusedError),
    ],
)
def test_a_look_before_the_payment(error: Exception, outcome: type[LandingError] | None) -> None:
    """Only what keeps a file from being written stops a payment, for good or for now; a mere denial does not."""
    failure = check_error(S3, error)

    assert (None if failure is None else type(failure)) is outcome
