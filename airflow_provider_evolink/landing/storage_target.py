# SPDX-License-Identifier: Apache-2.0
"""Parse a destination (storage, connection and folder) and open its file system.

Everything that can be checked without a request to the storage is checked here, so that it can be checked before
anything is paid for or downloaded.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_evolink.api.errors import LandingError, LandingInputError
from airflow_provider_evolink.api.event_loop import outside_event_loop
from airflow_provider_evolink.api.input_errors import NOTHING_LANDED
from airflow_provider_evolink.api.sanitize import sanitize
from airflow_provider_evolink.api.wording import how_to_define, shorten

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

LOCAL = frozenset({"", "file", "local"})
OBJECT_STORES = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl", "oss"})
_ALLOWED = "an absolute path, a storage URI such as s3://conn_id@bucket/folder, or an ObjectStoragePath"
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
AZURE = frozenset({"abfs", "abfss", "adl"})
# By scheme: the library for the storage, and our extra that installs it with the Airflow provider that uses it.
_EXTRAS = {
    **dict.fromkeys(("s3", "s3a", "s3n"), ("s3fs", "s3")),
    **dict.fromkeys(("gs", "gcs"), ("gcsfs", "gcs")),
    **dict.fromkeys(AZURE, ("adlfs", "azure")),
}
_UNSUPPORTED_AZURE = frozenset({"az", "wasb", "wasbs"})
# Airflow's AWS hook uses the worker's own credentials if its default connection is not defined.
_OPTIONAL_CONNECTIONS = frozenset({"aws_default"})


@dataclass(frozen=True, slots=True)
class StorageTarget:
    """A file or folder in a storage.

    :param fs: the fsspec file system.
    :param path: its path there.
    :param protocol: such as ``s3``.
    :param conn_id: the connection that is used, for messages.
    """

    fs: Any
    path: str
    protocol: str
    conn_id: str | None = field(default=None, compare=False)

    @property
    def uri(self) -> str:
        """Its URI for messages and assets: without connection id and credentials."""
        return f"file://{self.path}" if self.is_local else f"{self.protocol}://{self.path}"

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return self.protocol in LOCAL

    @property
    def is_object_store(self) -> bool:
        """Whether a file appears there as a whole or not at all."""
        return self.protocol in OBJECT_STORES

    @property
    def bucket(self) -> str:
        """The first part of its path: on an object store, the bucket or container."""
        return self.path.lstrip("/").partition("/")[0]

    @property
    def folder(self) -> str:
        """The path of the folder it is in."""
        return self.path.rpartition("/")[0]

    def __truediv__(self, name: str) -> StorageTarget:
        """Return the file with this relative name below the folder."""
        return StorageTarget(self.fs, f"{self.path.rstrip('/')}/{name}", self.protocol, self.conn_id)


def check_destination(destination: object, setting: str = "`destination`") -> None:
    """Refuse a destination that can't work, without a request to the storage.

    Checks its syntax, the installed packages, and whether Airflow has the connection it names. Call it before anything
    is paid for or downloaded.

    :param destination: as for :func:`storage_target`; so is ``setting``.
    :raises LandingInputError: it can't work; the message says what to write or install. A retry is refused again.
    :raises LandingError: Airflow does not find the connection. A retry looks it up again.
    """
    check_form(destination)
    scheme, _ = _scheme_and_connection(destination)
    if scheme in LOCAL:
        return
    _check_packages(destination, scheme)
    if conn_id := required_connection(destination):
        _check_connection(destination, conn_id, setting)


def check_form(destination: object) -> None:
    """Refuse a destination by its syntax. Pure for text; cheap enough to call when a DAG file is parsed.

    :raises LandingInputError: a relative path, a missing bucket, an Azure account where Airflow expects a connection,
        credentials in the URI, or no destination at all.
    """
    check = _allowed_instead_of_text if isinstance(destination, str) else _allowed_instead_of_object
    allowed = f"{_ALLOWED}, without a zero byte" if "\0" in str(destination) else check(destination)
    if allowed:
        raise LandingInputError("destination", _without_credentials(destination), allowed)


def storage_target(destination: str | ObjectStoragePath, setting: str = "`destination`") -> StorageTarget:
    """Open the storage of a destination.

    :param destination: an absolute path (also ``~/folder``), a URI such as ``s3://conn_id@bucket/folder``, or an
        ``ObjectStoragePath``.
    :param setting: what names it, for messages.
    :raises LandingInputError: see :func:`check_destination`; also if the connection can't be used as it is.
    :raises LandingError: the storage could not be opened, or its connection not found. A retry tries again.
    """
    from airflow_provider_evolink.compat import storage_conn_id

    check_destination(destination, setting)
    if isinstance(destination, str) and destination.startswith("~"):
        destination = os.path.expanduser(destination)  # noqa: PTH111
    try:
        folder = opened_path(destination)
        fs = folder.fs
    except (ValueError, ImportError) as error:
        allowed = f"a destination whose storage can be opened ({type(error).__name__}: {error})"
        raise LandingInputError("destination", _without_credentials(destination), allowed) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {sanitize(str(error), '')}".rstrip(".")
        raise LandingError(
            f"The storage of {setting}={shorten(destination)} can't be opened: {reason}.",
            advice=f"{NOTHING_LANDED} A retry tries to open it again.",
        ) from error
    protocol = folder.protocol or "file"
    path = str(Path(folder.path).absolute()) if protocol in LOCAL else folder.path
    return StorageTarget(fs, path, protocol, storage_conn_id(folder))


def opened_path(location: str | ObjectStoragePath) -> ObjectStoragePath:
    """Return a path whose file system is there; Airflow makes it at its first use in a process, with the path.

    :raises ImportError: a package is missing; the message says what to install.
    :raises Exception: whatever else Airflow, or the storage's client, raises if it can't be made.
    """

    def open_path() -> ObjectStoragePath:
        from airflow.sdk import ObjectStoragePath

        path = ObjectStoragePath(_spelled_out(location) if isinstance(location, str) else location)
        if path.protocol in LOCAL:
            _attach_local(path)
        _ = path.fs
        if path.protocol in AZURE:
            _quieten_azure()
        return path

    try:
        return outside_event_loop(open_path)
    except (ValueError, ImportError) as error:
        scheme, _ = _scheme_and_connection(location)
        if scheme not in LOCAL and (missing := missing_package(scheme)):
            raise ImportError(missing) from error
        raise


def _attach_local(path: ObjectStoragePath) -> None:
    """Give Airflow the file system of this machine, unless it has it: it would load those of all providers as well."""
    from airflow.sdk.io import attach
    from fsspec.implementations.local import LocalFileSystem

    attach(path.protocol or "file", fs=LocalFileSystem())


def _quieten_azure() -> None:
    """Keep the headers of every request, a thousand lines for 200 MB, out of the log, as Airflow's own hook does."""
    logger = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)


def _spelled_out(location: str) -> str:
    """Return text that means the same before 3.2, when Airflow knew neither capitals in schemes nor relative paths."""
    if _SCHEME.match(location) is None:
        return str(Path(location).absolute())
    return _SCHEME.sub(lambda scheme: scheme[0].lower(), location, count=1)


def _allowed_instead_of_text(text: Any) -> str | None:
    match = _SCHEME.match(text)
    if not text.strip():
        return _ALLOWED
    if match is None:
        return None if _is_absolute(text) else _allowed_instead_of_relative(text)
    if not text[match.end() :].startswith("//"):
        return f"{_ALLOWED}; after {match[0]} it needs two slashes"
    try:
        url = urlsplit(text)
    except ValueError as error:
        return f"{_ALLOWED}, but it is not a valid URI ({error})"
    user, _, host = url.netloc.rpartition("@")
    if match[1].lower() not in LOCAL:
        return _allowed_instead_of_uri(match[1].lower(), user, host)
    return f"{_ALLOWED}; write a folder of this machine as file:///folder" if host or not url.path else None


def _allowed_instead_of_uri(scheme: str, user: str, host: str) -> str | None:
    if ":" in user:
        return f"{scheme}://conn_id@bucket/folder: credentials belong in an Airflow connection, its id before the @"
    if scheme in _UNSUPPORTED_AZURE:
        return f"abfs://conn_id@container/folder: Airflow does not support {scheme}://"
    if scheme in AZURE and "." in host:
        container = user or "container"
        return (
            f"{scheme}://conn_id@{container}/folder: the id of an Airflow connection, which names the "
            "storage account, goes before the @, the container after it"
        )
    return None if host else f"{scheme}://conn_id@bucket/folder, but it names no bucket"


def _allowed_instead_of_object(destination: object) -> str | None:
    from airflow.sdk import ObjectStoragePath

    # Before 3.2 an ObjectStoragePath is a PurePath, too.
    if not isinstance(destination, ObjectStoragePath):
        is_path = isinstance(destination, PurePath)
        return f"{_ALLOWED}; write a pathlib.Path as text, str(path)" if is_path else _ALLOWED
    if destination.protocol not in LOCAL:
        return None
    return None if _is_absolute(destination.path) else _allowed_instead_of_relative(destination.path)


def _is_absolute(path: str) -> bool:
    # Path.expanduser would raise for an unknown user.
    return os.path.isabs(os.path.expanduser(path))  # noqa: PTH111, PTH117


def _allowed_instead_of_relative(path: str) -> str:
    if path == "None":
        return f"{_ALLOWED}, but a template found no value"
    if path.startswith("$"):
        return f"{_ALLOWED}; shell variables are not expanded"
    return f"{_ALLOWED}; a relative path would be in whatever folder the worker runs in, and disappear with it"


def _scheme_and_connection(destination: Any) -> tuple[str, str | None]:
    from airflow_provider_evolink.compat import storage_conn_id

    if not isinstance(destination, str):
        return destination.protocol, storage_conn_id(destination)
    match = _SCHEME.match(destination)
    user = urlsplit(destination).netloc.rpartition("@")[0] if match else ""
    return (match[1].lower() if match else ""), user or None


def required_connection(location: object) -> str | None:
    """Return the id of the connection that Airflow has to have for a location; None if it needs none."""
    scheme, conn_id = _scheme_and_connection(location)
    return None if scheme in LOCAL or conn_id in _OPTIONAL_CONNECTIONS else conn_id


def missing_package(scheme: str) -> str | None:
    """Return what is missing for a storage, as the end of a sentence; None if it can be used here.

    :param scheme: such as ``s3``, in lower case.
    """
    from airflow.sdk.io.fs import has_fs

    library, extra = _EXTRAS.get(scheme, (None, None))
    if has_fs(scheme) and (library is None or find_spec(library)):
        return None
    if extra is None:
        return f"no installed Airflow provider has a file system for {scheme}://"
    return f'{scheme}:// needs a package that is not installed here: pip install "airflow-provider-evolink[{extra}]"'


def _check_packages(destination: object, scheme: str) -> None:
    if missing := missing_package(scheme):
        allowed = f"on storage that Airflow can use here, but {missing}"
        raise LandingInputError("destination", _without_credentials(destination), allowed)


def _check_connection(destination: object, conn_id: str, setting: str) -> None:
    from airflow_provider_evolink.compat import CONNECTION_NOT_FOUND, BaseHook

    try:
        BaseHook.get_connection(conn_id)
    except CONNECTION_NOT_FOUND as error:
        # Airflow reports the same if its secrets backend is temporarily unreachable, so a retry may succeed.
        raise LandingError(
            f"Airflow does not find the connection {conn_id!r} of {setting}={shorten(destination)} (the part "
            f"before the @). {how_to_define(conn_id)}",
            advice=f"{NOTHING_LANDED} A retry looks it up again, and fails until it is there.",
        ) from error


def _without_credentials(destination: object) -> object:
    if isinstance(destination, str):
        return re.sub(r"//[^/@]*:[^/@]*@", "//***@", destination)
    return destination if destination is None or isinstance(destination, int | float) else str(destination)
