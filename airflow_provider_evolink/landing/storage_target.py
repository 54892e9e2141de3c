# SPDX-License-Identifier: Apache-2.0
"""
Reads a destination: which storage, which connection, which folder.

What can be known without asking the storage itself is checked here, so that it can be checked before anything is
paid for or fetched.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_evolink.api.errors import NOTHING_LANDED, LandingError, LandingInputError, shorten
from airflow_provider_evolink.api.sanitize import sanitize

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

LOCAL = frozenset({"", "file", "local"})
OBJECT_STORES = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl", "oss"})
_ALLOWED = "it must be an absolute path, a storage URI such as s3://conn_id@bucket/folder, or an ObjectStoragePath"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AZURE = frozenset({"abfs", "abfss", "adl"})
# By scheme: the library that speaks to the storage, and what brings it and Airflow's side of it.
_PACKAGES = {
    **dict.fromkeys(("s3", "s3a", "s3n"), ("s3fs", "apache-airflow-providers-amazon[s3fs]")),
    **dict.fromkeys(("gs", "gcs"), ("gcsfs", "apache-airflow-providers-google")),
    **dict.fromkeys(_AZURE, ("adlfs", "apache-airflow-providers-microsoft-azure")),
}
_AZURE_ELSEWHERE = frozenset({"az", "wasb", "wasbs"})
# Airflow's AWS hook takes the worker's own credentials where its default connection is not defined.
_MAY_BE_MISSING = frozenset({"aws_default"})


@dataclass(frozen=True, slots=True)
class StorageTarget:
    """
    A file name in some storage.

    :param fs: the fsspec file system.
    :param path: the name there.
    :param protocol: such as ``s3``.
    :param conn_id: the connection it is reached through, for messages.
    """

    fs: Any
    path: str
    protocol: str
    conn_id: str | None = field(default=None, compare=False)

    @property
    def uri(self) -> str:
        """The name for people and assets: without connection id and credentials."""
        return f"file://{self.path}" if self.is_local else f"{self.protocol}://{self.path}"

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine."""
        return self.protocol in LOCAL

    @property
    def is_object_store(self) -> bool:
        """Whether a file appears there whole or not at all."""
        return self.protocol in OBJECT_STORES

    @property
    def bucket(self) -> str:
        """The first part of its path, which an object store calls a bucket or container."""
        return self.path.lstrip("/").partition("/")[0]

    @property
    def folder(self) -> str:
        """The name of what holds it."""
        return self.path.rpartition("/")[0]

    def __truediv__(self, name: str) -> StorageTarget:
        """Return the place of this relative name below."""
        return StorageTarget(self.fs, f"{self.path.rstrip('/')}/{name}", self.protocol, self.conn_id)


def check_destination(destination: object) -> None:
    """
    Refuse a destination that can't work, without a request to the storage.

    Looks at how it is written, at the installed packages, and whether Airflow has the connection it names. Call it
    before anything is paid for or fetched.

    :param destination: as for :func:`storage_target`.
    :raises LandingInputError: what is wrong with it, and what to write or install instead. A retry is refused again.
    :raises LandingError: Airflow does not find the connection. A retry looks for it again.
    """
    check_form(destination)
    scheme, conn_id = _scheme_and_connection(destination)
    if scheme in LOCAL:
        return
    _check_packages(destination, scheme)
    if conn_id is not None and conn_id not in _MAY_BE_MISSING:
        _check_connection(destination, conn_id)


def check_form(destination: object) -> None:
    """
    Refuse a destination by how it is written. Pure for text; cheap enough for a DAG file.

    :raises LandingInputError: a relative path, a bucket that is missing, an Azure account where Airflow wants a
        connection, credentials in the URI, or no destination at all.
    """
    judge = _problem_of_text if isinstance(destination, str) else _problem_of_object
    problem = "no path holds a zero byte" if "\0" in str(destination) else judge(destination)
    if problem:
        raise LandingInputError("destination", _without_credentials(destination), problem)


def storage_target(destination: str | ObjectStoragePath) -> StorageTarget:
    """
    Open the storage behind a destination.

    :param destination: an absolute path (also ``~/folder``), a URI such as ``s3://conn_id@bucket/folder``, or an
        ``ObjectStoragePath``.
    :raises LandingInputError: see :func:`check_destination`; also if the connection can't be used as it is.
    """
    from airflow.sdk import ObjectStoragePath

    check_destination(destination)
    if isinstance(destination, str) and destination.startswith("~"):
        destination = os.path.expanduser(destination)  # noqa: PTH111
    try:
        folder = ObjectStoragePath(destination)
        fs = folder.fs
    except (ValueError, ImportError) as error:
        problem = f"its storage can't be opened ({type(error).__name__}: {error})"
        raise LandingInputError("destination", _without_credentials(destination), problem) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {sanitize(str(error), '')}".rstrip(".")
        raise LandingError(
            f"The storage of destination={shorten(destination)} could not be opened: {reason}."
        ) from error
    protocol = folder.protocol or "file"
    path = str(Path(folder.path).absolute()) if protocol in LOCAL else folder.path
    return StorageTarget(fs, path, protocol, folder.conn_id)


def _problem_of_text(text: Any) -> str | None:
    match = _SCHEME.match(text)
    if not text.strip():
        return _ALLOWED
    if match is None:
        return None if _is_absolute(text) else _relative_problem(text)
    if not text[match.end() :].startswith("//"):
        return f"after {match[0]} two slashes are due; {_ALLOWED}"
    try:
        url = urlsplit(text)
    except ValueError as error:
        return f"it is no URI ({error}); {_ALLOWED}"
    user, _, host = url.netloc.rpartition("@")
    if match[1].lower() not in LOCAL:
        return _problem_of_uri(match[1].lower(), user, host)
    return f"a folder of this machine is written file:///folder; {_ALLOWED}" if host or not url.path else None


def _problem_of_uri(scheme: str, user: str, host: str) -> str | None:
    if ":" in user:
        return "credentials belong into an Airflow connection, whose id stands before the @"
    if scheme in _AZURE_ELSEWHERE:
        return f"Airflow has no {scheme}://; write abfs://conn_id@container/folder"
    if scheme in _AZURE and "." in host:
        container = user or "container"
        return (
            "before the @ Airflow wants the id of a connection, which names the storage account, and after it the "
            f"container: write {scheme}://conn_id@{container}/folder"
        )
    return None if host else f"it names no bucket; write {scheme}://conn_id@bucket/folder"


def _problem_of_object(destination: object) -> str | None:
    from airflow.sdk import ObjectStoragePath

    if not isinstance(destination, ObjectStoragePath):
        return _ALLOWED
    if destination.protocol not in LOCAL:
        return None
    return None if _is_absolute(destination.path) else _relative_problem(destination.path)


def _is_absolute(path: str) -> bool:
    # Path.expanduser would raise where there is no such user.
    return os.path.isabs(os.path.expanduser(path))  # noqa: PTH111, PTH117


def _relative_problem(path: str) -> str:
    if path == "None":
        return f"a template has found nothing to fill in; {_ALLOWED}"
    if path.startswith("$"):
        return f"the shell's variables are not filled in here; {_ALLOWED}"
    return f"a relative path would lie in whatever folder the worker runs in, and go with it; {_ALLOWED}"


def _scheme_and_connection(destination: Any) -> tuple[str, str | None]:
    if not isinstance(destination, str):
        return destination.protocol, destination.conn_id
    match = _SCHEME.match(destination)
    user = urlsplit(destination).netloc.rpartition("@")[0] if match else ""
    return (match[1].lower() if match else ""), user or None


def _check_packages(destination: object, scheme: str) -> None:
    from airflow.sdk.io.fs import has_fs

    library, package = _PACKAGES.get(scheme, (None, None))
    if has_fs(scheme) and (library is None or find_spec(library)):
        return
    wanted = f"{scheme}:// needs a package that is not installed here: pip install '{package}'"
    unknown = f"no installed provider of Airflow's has a file system for {scheme}://"
    raise LandingInputError("destination", _without_credentials(destination), wanted if package else unknown)


def _check_connection(destination: object, conn_id: str) -> None:
    from airflow_provider_evolink.compat import AirflowNotFoundException, BaseHook

    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        # Airflow says the same where its secrets could not be reached just now, so this must not end the retries.
        raise LandingError(
            f"destination={shorten(destination)} names a connection that Airflow does not find: {conn_id!r}, which is "
            f"what stands before the @. {NOTHING_LANDED} A retry looks for it again."
        ) from error


def _without_credentials(destination: object) -> object:
    if isinstance(destination, str):
        return re.sub(r"//[^/@]*:[^/@]*@", "//***@", destination)
    return destination if destination is None or isinstance(destination, int | float) else str(destination)
