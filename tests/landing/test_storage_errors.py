"""What a storage's failure says, and whether a retry is promised."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from airflow_provider_evolink.api.errors import LandingError, StorageRefusedError
from airflow_provider_evolink.landing.storage_errors import failure, is_taken, lacks_conditions, reason_of
from airflow_provider_evolink.landing.storage_target import StorageTarget

S3 = StorageTarget(None, "videos/a/0.mp4", "s3", "store")
AZURE = StorageTarget(None, "box/a/0.mp4", "abfs", None)
XML = (
    "The specified container does not exist.\nRequestId:5-1\nTime:2026\nErrorCode:ContainerNotFound\n"
    'Content: <?xml version="1.0"?><Error><Code>ContainerNotFound</Code><Message>Not there.</Message></Error>'
)


def aws(code: str, status: int, message: str = "So it is.") -> Exception:
    """An error as s3fs raises it: from botocore's."""
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = OSError(errno.EIO, message)
    error.__cause__ = ClientError(answer, "PutObject")
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


def inside(error: Exception) -> Exception:
    """An error as adlfs raises it: with Azure's inside."""
    outer = RuntimeError(f"Failed to upload block: {error}!")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("place", "error", "what"),
    [
        (S3, aws("NoSuchBucket", 404), "there is no bucket 'videos' for connection 'store'"),
        (S3, aws("AccessDenied", 403), "bucket 'videos' is not open to connection 'store'"),
        (S3, aws("InvalidAccessKeyId", 403), "bucket 'videos' is not open to connection 'store'"),
        (S3, aws("SignatureDoesNotMatch", 403), "bucket 'videos' is not open to connection 'store'"),
        (S3, PermissionError("no"), "bucket 'videos' is not open to connection 'store'"),
        (S3, NoCredentialsError(), "there are no credentials for bucket 'videos'"),
        (AZURE, inside(AzureError(XML, 404)), "there is no bucket 'box' for the worker's own credentials"),
        (AZURE, inside(AzureError("no", 403)), "bucket 'box' is not open to the worker's own credentials"),
        (
            StorageTarget(None, "b/0.mp4", "gs"),
            OSError("Forbidden: b/o\nno access"),
            "bucket 'b' is not open to the worker's",
        ),
        (StorageTarget(None, "b/0.mp4", "gs"), GoogleError("Invalid Credentials", 401), "bucket 'b' is not open"),
        (
            StorageTarget(None, "/b/0.mp4", "sftp", "host"),
            PermissionError("no"),
            "this folder is not open to connection 'host'",
        ),
    ],
)
def test_refusal(place: StorageTarget, error: Exception, what: str) -> None:
    """A wrong bucket or wrong credentials are named, and no retry is promised."""
    told = failure(place, error)
    assert isinstance(told, StorageRefusedError)
    assert told.permanent
    assert what in str(told)
    assert "<" not in str(told)
    assert "A retry is refused again" in str(told)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        (S3, aws("ExpiredToken", 400)),
        (S3, aws("RequestTimeTooSkewed", 403)),
        (S3, aws("NoSuchUpload", 404)),
        (S3, aws("SlowDown", 503)),
        (S3, aws("ConditionalRequestConflict", 409)),
        (S3, EndpointConnectionError(endpoint_url="http://store.test")),
        (S3, TimeoutError("slow")),
        (AZURE, inside(AzureError("busy", 503))),
        (StorageTarget(None, "/videos/0.mp4", "file"), PermissionError(errno.EACCES, "Permission denied")),
        (StorageTarget(None, "/videos/0.mp4", "sftp"), FileNotFoundError("gone")),
    ],
)
def test_passing_failure(place: StorageTarget, error: Exception) -> None:
    """What may be over at the next try, or on another worker, ends no retries."""
    told = failure(place, error)
    assert type(told) is LandingError
    assert not told.permanent
    assert place.uri in str(told)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(XML), "OSError: The specified container does not exist"),
        (OSError("<?xml version='1.0'?><Error><Code>No</Code><Message>Not there.</Message>"), "OSError: No: Not there"),
        (OSError("b'<html><h1>502 Bad Gateway</h1></html>'"), "OSError: no reason given"),
        (ValueError("It ends so."), "ValueError: It ends so"),
        (ValueError(""), "ValueError: no reason given"),
    ],
)
def test_reason(error: Exception, reason: str) -> None:
    """A reason has no markup in it and no stop at its end, so that a sentence can go on."""
    assert reason_of(error) == reason
    assert ".." not in str(failure(S3, error))


def test_conditions() -> None:
    """A name that is taken, and a store that knows no conditions, are known in every client's words."""
    for error in (FileExistsError("x"), aws("PreconditionFailed", 412), inside(FileExistsError("x"))):
        assert is_taken(error)
        assert not lacks_conditions(error)
    for error in (OSError(errno.ENOSYS, "x"), aws("NotImplemented", 501), NotImplementedError("x")):
        assert lacks_conditions(error)
        assert not is_taken(error)
