# SPDX-License-Identifier: Apache-2.0
"""Reading and validating the fields of an Airflow connection."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.api.settings import DEFAULT_HOST, Settings, read_settings
from tests import hostile

KEY = "sk-planted-key-4711"
FILES = "https://files-api.evolink.ai"


def read(host: str | None = None, **changes: Any) -> Settings:
    """Read a valid connection with some fields changed."""
    fields = {"schema": None, "port": None, "password": KEY, "extra": {}, **changes}
    return read_settings("my_evolink", host=host, **fields)


def error_text(host: str | None = None, **changes: Any) -> str:
    """Return the message of the error for an invalid connection."""
    with pytest.raises(ConfigurationError, match=r"^Connection 'my_evolink'.*Nothing was sent\.$") as caught:
        read(host, **changes)
    assert caught.value.permanent
    return str(caught.value)


@pytest.mark.parametrize(
    ("host", "schema", "port", "base_url"),
    [
        (None, None, None, DEFAULT_HOST),
        ("", None, None, DEFAULT_HOST),
        ("api.evolink.ai", None, None, DEFAULT_HOST),
        ("api.evolink.ai", "https", None, DEFAULT_HOST),
        ("api.evolink.ai", "https", 443, DEFAULT_HOST),
        ("api.evolink.ai/", None, None, DEFAULT_HOST),
        (" api.evolink.ai ", None, None, DEFAULT_HOST),
        ("https://api.evolink.ai", None, None, DEFAULT_HOST),
        ("https://api.evolink.ai/", None, None, DEFAULT_HOST),
        ("https://api.evolink.ai:443", None, None, DEFAULT_HOST),
        ("HTTPS://API.EvoLink.AI", None, None, DEFAULT_HOST),
        ("https://api.evolink.ai", "http", None, DEFAULT_HOST),
        ("gateway.example.com", None, 8443, "https://gateway.example.com:8443"),
        ("https://gateway.example.com:8443", None, 9, "https://gateway.example.com:8443"),
        ("http://127.0.0.1:8080", None, None, "http://127.0.0.1:8080"),
        ("127.0.0.1", "http", 8080, "http://127.0.0.1:8080"),
        ("localhost", "http", 80, "http://localhost"),
        ("http://[::1]:8080", None, None, "http://[::1]:8080"),
        ("http://2130706433", None, 8080, "http://2130706433:8080"),
    ],
)
def test_host_forms(host: str | None, schema: str | None, port: int | None, base_url: str) -> None:
    """Every way to enter a host in Airflow's form leads to one scheme, host and port."""
    settings = read(host, schema=schema, port=port)

    assert settings.base_url == base_url
    assert settings.files_url == (FILES if base_url == DEFAULT_HOST else base_url)
    assert settings.is_loopback == base_url.startswith("http://")


@pytest.mark.parametrize(
    "host",
    [
        "https://api.evolink.ai/v1",
        "https://api.evolink.ai?x=1",
        "https://api.evolink.ai#x",
        "https://me:secret@api.evolink.ai",
        "me@api.evolink.ai",
        "ftp://api.evolink.ai",
        "https://",
        "//api.evolink.ai",
        "https://api evolink.ai",
        "https://api.evolink.ai:port",
        "https://api.evolink.ai:99999",
        "https://[::1",
        "https://api.evolink.ai\nX-Evil: 1",
        "https://api.evolink.ai\\@evil.example",
        ":8080",
    ],
)
def test_invalid_hosts(host: str) -> None:
    """A path, a query, a user or nonsense in the host is rejected with an example of a valid one."""
    assert DEFAULT_HOST in error_text(host)


@pytest.mark.parametrize("host", ["http://api.evolink.ai", "http://10.0.0.7", "http://localhost.example.com"])
def test_plain_http_is_only_allowed_to_this_machine(host: str) -> None:
    """The API key does not leave this machine unencrypted."""
    assert "plain http" in error_text(host)
    assert "plain http" in error_text(host.removeprefix("http://"), schema="http")


@pytest.mark.parametrize("password", [None, "", "  ", "\n"])
def test_an_api_key_is_required(password: str | None) -> None:
    """A missing API key is an error that names the field for it."""
    assert "password field" in error_text(password=password)


@pytest.mark.parametrize("password", ["two words", "line\nbreak", "sk-ключ", "tab\tbed", "nul\0"])
def test_an_api_key_that_is_invalid_in_a_header(password: str) -> None:
    """An API key that is invalid in a header is rejected without showing it."""
    assert password not in error_text(password=password)


def test_an_api_key_is_stripped() -> None:
    """Whitespace around a pasted API key is removed."""
    assert read(password=f" {KEY}\n").api_key == KEY


@given(st.text())
def test_any_api_key_is_safe_in_a_header_or_rejected(password: str) -> None:
    """No API key can break out of its header."""
    try:
        api_key = read(password=password).api_key
    except ConfigurationError:
        return
    assert re.fullmatch(r"[!-~]+", api_key)


@given(host=st.text() | st.from_regex(r"(https?://)?[\w.\[\]:@#?/\\ -]{1,40}", fullmatch=True))
def test_any_host_is_one_origin_or_rejected(host: str) -> None:
    """An accepted host is a scheme, a host and optionally a port, and uses plain HTTP only to this machine."""
    try:
        settings = read(host)
    except ConfigurationError:
        return
    parts = urlsplit(settings.base_url)
    assert parts.scheme in {"http", "https"}
    assert parts.hostname
    assert settings.base_url.isprintable()
    assert " " not in settings.base_url
    assert (parts.path, parts.query, parts.fragment, parts.username) == ("", "", "", None)
    assert parts.scheme == "https" or settings.is_loopback


def test_extras_are_read() -> None:
    """All four extras are read, as numbers or as text."""
    extra = {"timeout": "20", "submit_timeout": 45, "verify": "/etc/ca.pem", "proxy": "http://proxy.example.com:3128"}

    settings = read(extra=extra)

    assert (settings.timeout, settings.submit_timeout) == (20.0, 45.0)
    assert (settings.verify, settings.proxy) == ("/etc/ca.pem", "http://proxy.example.com:3128")


def test_extras_have_defaults() -> None:
    """An empty extra has its default."""
    settings = read(extra={"timeout": None, "submit_timeout": "", "verify": None, "proxy": ""})

    assert settings == read()
    assert (settings.timeout, settings.submit_timeout, settings.verify, settings.proxy) == (15.0, 30.0, True, None)


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), (False, False), ("true", True), ("False", False), ("/ca.pem", "/ca.pem")]
)
def test_verify(value: object, expected: object) -> None:
    """``verify`` is a boolean, also as text, or a path."""
    assert read(extra={"verify": value}).verify == expected


@pytest.mark.parametrize(
    "extra",
    [
        {"webhook_secret": "hidden", "Authorization": "Bearer other", "api_key": "other", "base_url": "https://evil"},
        {"files_url": "https://evil.example", "headers": {"X-Evil": "1"}, "extra__evolink__timeout": 3},
    ],
)
def test_other_extras_are_ignored(extra: dict[str, Any]) -> None:
    """Other extras have no effect."""
    assert read(extra=extra) == read()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("timeout", "submit_timeout") for value in (0, 0.5, 601, -1, "soon", True, [], {})),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("verify", 1),
        ("verify", []),
        ("verify", {"a": 1}),
        ("proxy", 3128),
        ("proxy", ["http://proxy"]),
        ("proxy", True),
        ("proxy", "socks5://proxy.example.com"),
        ("proxy", "http://proxy:port"),
        ("proxy", "http://["),
    ],
)
def test_invalid_extras_are_rejected_by_name(name: str, value: object) -> None:
    """The error for an invalid extra names it."""
    assert f"`{name}`=" in error_text(extra={name: value})


@pytest.mark.parametrize("host", [None, "api.example.com"])
def test_an_unsupported_proxy_of_the_environment_is_rejected(host: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unsupported proxy of the environment is rejected with the connection, unless no host needs it."""
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://me:hunter2@proxy.example.com")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY or ALL_PROXY") as caught:
        read(host)
    assert "hunter2" not in str(caught.value)
    assert read("http://127.0.0.1:9").is_loopback
    assert read(host, extra={"proxy": "http://proxy.example.com:3128"}).proxy
    monkeypatch.setenv("NO_PROXY", "evolink.ai,api.example.com")
    assert read(host)


@pytest.mark.parametrize("proxied", ["api", "files-api", "files"])
def test_an_unsupported_proxy_of_any_host_is_rejected(proxied: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unsupported proxy is rejected if any of EvoLink's hosts needs it, that of the results included."""
    monkeypatch.delenv("https_proxy", raising=False)
    direct = {"api", "files-api", "files"} - {proxied}
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example.com")
    monkeypatch.setenv("NO_PROXY", ",".join(f"{name}.evolink.ai" for name in direct))

    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        read()


def test_secrets_are_not_shown() -> None:
    """Neither the API key nor a proxy's password is in a repr."""
    settings = read(extra={"proxy": "http://me:hunter2@proxy.example.com"})

    for secret in (KEY, "hunter2"):
        assert secret not in f"{settings} {settings!r} {[settings]}"


EXTRA = {"timeout": 20, "submit_timeout": "45", "verify": "true", "proxy": "http://proxy.example.com:3128"}


@example({"proxy": "http://[::1%25"})
@example({"verify": "\0"})
@example({"timeout": [[[[[[[[1]]]]]]]]})
@given(hostile.corrupted(EXTRA).filter(lambda value: isinstance(value, dict)))
def test_any_extras_make_a_client_or_are_rejected(extra: dict[str, Any]) -> None:
    """Any extras make a client, or raise one short error."""
    try:
        EvoLinkClient(read(extra=extra))
    except ConfigurationError as error:
        assert len(str(error).encode()) < 500


@pytest.mark.parametrize(
    ("pasted", "problem"),
    [
        (f"Bearer {KEY}", "'Bearer'"),
        (f"bearer   {KEY}", "'bearer'"),
        (f"BEARER\t{KEY}", "'BEARER'"),
        (f"Bearer: {KEY}", "'Bearer:'"),
        (f"Authorization: Bearer {KEY}", "'Authorization: Bearer'"),
        (f"EVOLINK_API_KEY={KEY}", "'EVOLINK_API_KEY='"),
        (f'"{KEY}"', "quotation marks"),
        (f"'{KEY}'", "quotation marks"),
        (f"\u201c{KEY}\u201d", "quotation marks"),
        (f"{KEY[:5]} {KEY[5:]}", "space or line break"),
        (f"{KEY[:5]}\n{KEY[5:]}", "space or line break"),
        (f"\ufeff{KEY}", "invisible characters"),
        (f"{KEY}\u200b", "invisible characters"),
        (f"{KEY}\x00", "invisible characters"),
    ],
)
def test_text_pasted_along_with_an_api_key_is_reported(pasted: str, problem: str) -> None:
    """Text pasted along with an API key is named, and no part of the API key is shown."""
    text = error_text(password=pasted)

    assert problem in text
    assert not any(KEY[at : at + 8] in text for at in range(len(KEY) - 7))


@pytest.mark.parametrize("pasted", [f"{KEY}\n", f" {KEY}\r\n", f"\t{KEY} "])
def test_whitespace_around_an_api_key_is_ignored(pasted: str) -> None:
    """Line breaks and blanks around an API key are removed."""
    assert read(password=pasted).api_key == KEY


def test_an_api_key_may_end_with_an_equals_sign() -> None:
    """The padding of base64 is not mistaken for a prefix."""
    assert read(password="c2VjcmV0a2V5NDcxMQ==").api_key == "c2VjcmV0a2V5NDcxMQ=="


@pytest.mark.parametrize("password", [None, "", " \n"])
@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({}, ["password field"]),
        ({"login": KEY}, ["from the login", "password field"]),
        ({"login": " "}, ["password field"]),
        ({"extra": {"api_key": KEY}}, ["'api_key' in the extra", "password field"]),
        ({"extra": {"Authorization": KEY}}, ["'Authorization' in the extra", "password field"]),
    ],
)
def test_a_misplaced_api_key_is_located(password: str | None, changes: dict[str, Any], advice: list[str]) -> None:
    """If the password is empty, the error names the field with the API key in it, without showing it."""
    text = error_text(password=password, **changes)

    assert all(part in text for part in advice)
    assert KEY not in text
