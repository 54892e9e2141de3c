# SPDX-License-Identifier: Apache-2.0
"""Choose which server certificates to trust: those of the public CAs, or those the user names."""

from __future__ import annotations

import functools
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from airflow_provider_evolink.api.errors import ConfigurationError

_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def tls_context(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context for a connection's setting, cached per process: creating one costs 40 ms and 0.8 MiB.

    :param verify: ``True`` trusts everything the environment names in ``SSL_CERT_FILE``, ``SSL_CERT_DIR``,
        ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE`` or, if it names nothing, the public CAs; a path is that of a CA
        bundle or of a folder of CA certificates; ``False`` trusts every certificate.
    :raises ConfigurationError: there is no such bundle or folder; the message says which setting names it.
    """
    if verify is False:
        return _unverified_context()
    if isinstance(verify, str):
        return _context_for((("The connection's verify setting", verify),))
    # Several variables often name the same bundle.
    names_by_path = {path: name for name, path in _ca_sources(os.environ)}
    return _context_for(tuple((name, path) for path, name in names_by_path.items()))


def certificate_advice(error: BaseException | None) -> str:
    """Return what to do about an untrusted certificate if that caused the error; otherwise an empty text."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                " If a proxy or gateway with its own CA is in between, set its CA bundle in the connection's extra "
                "`verify` or in SSL_CERT_FILE."
            )
        error = error.__cause__ or error.__context__
    return ""


def _ca_sources(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in _CA_VARIABLES:
        if environment.get(name):
            yield f"The environment's {name}", environment[name]
    # A list of folders; like OpenSSL, skip those that are missing or empty.
    for folder in environment.get("SSL_CERT_DIR", "").split(os.pathsep):
        if folder and Path(folder).is_dir() and _locations(Path(folder)):
            yield "The environment's SSL_CERT_DIR", folder


@functools.lru_cache(maxsize=1)
def _unverified_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@functools.lru_cache(maxsize=8)
def _context_for(sources: tuple[tuple[str, str], ...]) -> ssl.SSLContext:
    context: ssl.SSLContext | None = None
    for name, path in sources:
        try:
            context = _load(context, path)
        except (ValueError, OSError) as error:
            raise ConfigurationError(
                f"{name} is not a readable CA bundle or folder of CA certificates ({type(error).__name__}). "
                "Nothing was sent."
            ) from None
    return context or _public_context()


def _load(context: ssl.SSLContext | None, path: str) -> ssl.SSLContext:
    locations = _locations(Path(path))
    if not locations:
        raise FileNotFoundError
    if context is None:
        file, folder = locations.pop(0)
        context = ssl.create_default_context(cafile=file, capath=folder)
    for file, folder in locations:
        context.load_verify_locations(file, folder)
    return context


def _locations(path: Path) -> list[tuple[Path | None, Path | None]]:
    """Return files and folders for OpenSSL, which only finds certificates in a folder that ``rehash`` has named."""
    if not path.is_dir():
        return [(path, None)]
    files = sorted(path.iterdir())
    if any(_HASHED_NAME.fullmatch(file.name) for file in files):
        return [(None, path)]
    return [(file, None) for file in files if file.suffix in {".pem", ".crt", ".cer"}]


def _public_context() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context(trust_env=False)
