# SPDX-License-Identifier: Apache-2.0
"""Which certificates of servers are trusted: the public authorities', or those that the user names."""

from __future__ import annotations

import functools
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from airflow_provider_evolink.api.errors import ConfigurationError

_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def tls_context(verify: bool | str) -> ssl.SSLContext:
    """
    Return what judges the certificates of servers, made once per process: that costs 40 ms and 0.8 MiB.

    :param verify: ``True`` trusts what the environment names in ``SSL_CERT_FILE``, ``SSL_CERT_DIR``,
        ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE``, all of it, or else the public CAs; a path is that of a CA bundle
        or of a folder of CA certificates; ``False`` trusts everybody.
    :raises ConfigurationError: there is no such bundle or folder; the text says who names it.
    """
    if verify is False:
        return _trusting_everybody()
    if isinstance(verify, str):
        return _trusting((("The connection's verify setting", verify),))
    # Several variables often name the same bundle.
    named = {path: name for name, path in _ca_sources(os.environ)}
    return _trusting(tuple((name, path) for path, name in named.items()))


def certificate_advice(error: BaseException | None) -> str:
    """Return what to do about a certificate that is not trusted, if that is behind an error; else nothing."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                " If a proxy or gateway with a CA of its own stands between, name its CA bundle in the connection's "
                "extra `verify` or in SSL_CERT_FILE."
            )
        error = error.__cause__ or error.__context__
    return ""


def _ca_sources(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in _CA_VARIABLES:
        if environment.get(name):
            yield f"The environment's {name}", environment[name]
    # A list, of which OpenSSL too passes over what is not there or empty.
    for folder in environment.get("SSL_CERT_DIR", "").split(os.pathsep):
        if folder and Path(folder).is_dir() and _locations(Path(folder)):
            yield "The environment's SSL_CERT_DIR", folder


@functools.lru_cache(maxsize=1)
def _trusting_everybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@functools.lru_cache(maxsize=8)
def _trusting(sources: tuple[tuple[str, str], ...]) -> ssl.SSLContext:
    context: ssl.SSLContext | None = None
    for name, path in sources:
        try:
            context = _also_trusting(context, path)
        except (ValueError, OSError) as error:
            raise ConfigurationError(
                f"{name} is no CA bundle or folder of CA certificates that can be read ({type(error).__name__}). "
                "Nothing was sent."
            ) from None
    return context or _trusting_public_authorities()


def _also_trusting(context: ssl.SSLContext | None, path: str) -> ssl.SSLContext:
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
    """List files and folders for OpenSSL, which finds in a folder only what its ``rehash`` has named."""
    if not path.is_dir():
        return [(path, None)]
    files = sorted(path.iterdir())
    if any(_HASHED.fullmatch(file.name) for file in files):
        return [(None, path)]
    return [(file, None) for file in files if file.suffix in {".pem", ".crt", ".cer"}]


def _trusting_public_authorities() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context(trust_env=False)
