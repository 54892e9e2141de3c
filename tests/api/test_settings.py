"""An Airflow connection's fields, judged."""

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
    """The settings of a connection that is sound apart from what is given."""
    given = {"schema": None, "port": None, "password": KEY, "extra": {}, **changes}
    return read_settings("my_evolink", host=host, **given)


def refusal(host: str | None = None, **changes: Any) -> str:
    """The text with which a connection is refused."""
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
    """Every way to write a host in Airflow's form leads to one scheme, host and port."""
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
def test_hosts_that_are_refused(host: str) -> None:
    """A path, a query, a user or nonsense in the host is refused, with what may be given."""
    assert DEFAULT_HOST in refusal(host)


@pytest.mark.parametrize("host", ["http://api.evolink.ai", "http://10.0.0.7", "http://localhost.example.com"])
def test_plain_http_only_to_this_machine(host: str) -> None:
    """The key does not leave this machine unencrypted."""
    assert "plain http" in refusal(host)
    assert "plain http" in refusal(host.removeprefix("http://"), schema="http")


@pytest.mark.parametrize("password", [None, "", "  ", "\n"])
def test_a_key_is_needed(password: str | None) -> None:
    """Without a key the text tells where it belongs."""
    assert "password field" in refusal(password=password)


@pytest.mark.parametrize("password", ["two words", "line\nbreak", "sk-ключ", "tab\tbed", "nul\0"])
def test_a_key_that_no_header_can_carry(password: str) -> None:
    """Such a key is refused, and is not in the text."""
    assert password not in refusal(password=password)


def test_a_key_is_stripped() -> None:
    """What comes along when a key is pasted is cut off."""
    assert read(password=f" {KEY}\n").api_key == KEY


@given(st.text())
def test_any_key_is_safe_in_a_header_or_refused(password: str) -> None:
    """No key can break out of its header."""
    try:
        key = read(password=password).api_key
    except ConfigurationError:
        return
    assert re.fullmatch(r"[!-~]+", key)


@given(host=st.text() | st.from_regex(r"(https?://)?[\w.\[\]:@#?/\\ -]{1,40}", fullmatch=True))
def test_any_host_is_one_origin_or_refused(host: str) -> None:
    """What is accepted is a scheme, a host and perhaps a port, and is plain only on this machine."""
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
    """The four extras that there are, as Airflow's form or a person would write them."""
    extra = {"timeout": "20", "submit_timeout": 45, "verify": "/etc/ca.pem", "proxy": "http://proxy.example.com:3128"}

    settings = read(extra=extra)

    assert (settings.timeout, settings.submit_timeout) == (20.0, 45.0)
    assert (settings.verify, settings.proxy) == ("/etc/ca.pem", "http://proxy.example.com:3128")


def test_extras_have_defaults() -> None:
    """An empty field of the form is as none."""
    settings = read(extra={"timeout": None, "submit_timeout": "", "verify": None, "proxy": ""})

    assert settings == read()
    assert (settings.timeout, settings.submit_timeout, settings.verify, settings.proxy) == (15.0, 30.0, True, None)


@pytest.mark.parametrize(
    ("given", "meant"), [(True, True), (False, False), ("true", True), ("False", False), ("/ca.pem", "/ca.pem")]
)
def test_verify(given: object, meant: object) -> None:
    """``verify`` is a switch or a path."""
    assert read(extra={"verify": given}).verify == meant


@pytest.mark.parametrize(
    "extra",
    [
        {"webhook_secret": "hidden", "Authorization": "Bearer other", "api_key": "other", "base_url": "https://evil"},
        {"files_url": "https://evil.example", "headers": {"X-Evil": "1"}, "extra__evolink__timeout": 3},
    ],
)
def test_other_extras_are_ignored(extra: dict[str, Any]) -> None:
    """Extras that are not ours stay where they are."""
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
def test_bad_extras_are_refused_by_name(name: str, value: object) -> None:
    """A value that can't be used names the field."""
    assert f"{name}=" in refusal(extra={name: value})


@pytest.mark.parametrize("host", [None, "api.example.com"])
def test_a_proxy_that_cannot_be_used_is_refused_before_anything_is_paid(
    host: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxy is judged with the connection, unless it stands before none of its hosts."""
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://me:hunter2@proxy.example.com")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY or ALL_PROXY") as refused:
        read(host)
    assert "hunter2" not in str(refused.value)
    assert read("http://127.0.0.1:9").is_loopback
    assert read(host, extra={"proxy": "http://proxy.example.com:3128"}).proxy
    monkeypatch.setenv("NO_PROXY", "evolink.ai,api.example.com")
    assert read(host)


@pytest.mark.parametrize("left_out", ["api", "files-api", "files"])
def test_a_proxy_has_to_be_of_use_for_each_host(left_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that can't be used is refused if only one of EvoLink's hosts is behind it: results come from a third."""
    monkeypatch.delenv("https_proxy", raising=False)
    direct = {"api", "files-api", "files"} - {left_out}
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example.com")
    monkeypatch.setenv("NO_PROXY", ",".join(f"{name}.evolink.ai" for name in direct))

    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        read()


def test_nothing_secret_is_shown() -> None:
    """Neither the key nor a proxy's password is in a representation."""
    settings = read(extra={"proxy": "http://me:hunter2@proxy.example.com"})

    for secret in (KEY, "hunter2"):
        assert secret not in f"{settings} {settings!r} {[settings]}"


EXTRA = {"timeout": 20, "submit_timeout": "45", "verify": "true", "proxy": "http://proxy.example.com:3128"}


@example({"proxy": "http://[::1%25"})
@example({"verify": "\0"})
@example({"timeout": [[[[[[[[1]]]]]]]]})
@given(hostile.gone_wrong(EXTRA).filter(lambda value: isinstance(value, dict)))
def test_any_extras_make_a_client_or_are_refused(extra: dict[str, Any]) -> None:
    """Whatever the extras hold, a client can be made with them, or one short error says why not."""
    try:
        EvoLinkClient(read(extra=extra))
    except ConfigurationError as refused:
        assert len(str(refused).encode()) < 500


@pytest.mark.parametrize(
    ("pasted", "named"),
    [
        (f"Bearer {KEY}", "begins with 'Bearer'"),
        (f"bearer   {KEY}", "begins with 'bearer'"),
        (f"BEARER\t{KEY}", "begins with 'BEARER'"),
        (f"Bearer: {KEY}", "begins with 'Bearer:'"),
        (f"Authorization: Bearer {KEY}", "begins with 'Authorization: Bearer'"),
        (f"EVOLINK_API_KEY={KEY}", "begins with 'EVOLINK_API_KEY='"),
        (f'"{KEY}"', "stands in quotation marks"),
        (f"'{KEY}'", "stands in quotation marks"),
        (f"\u201c{KEY}\u201d", "stands in quotation marks"),
        (f"{KEY[:5]} {KEY[5:]}", "space or line break inside"),
        (f"{KEY[:5]}\n{KEY[5:]}", "space or line break inside"),
        (f"\ufeff{KEY}", "invisible characters"),
        (f"{KEY}\u200b", "invisible characters"),
        (f"{KEY}\x00", "invisible characters"),
    ],
)
def test_what_was_pasted_with_a_key_is_named(pasted: str, named: str) -> None:
    """What stands around a key is named, so that it can be taken away, and the key is not shown."""
    text = refusal(password=pasted)

    assert named in text
    assert not any(KEY[at : at + 8] in text for at in range(len(KEY) - 7))


@pytest.mark.parametrize("pasted", [f"{KEY}\n", f" {KEY}\r\n", f"\t{KEY} "])
def test_blanks_around_a_key_do_not_matter(pasted: str) -> None:
    """A line break or blank that came along with a key is left out."""
    assert read(password=pasted).api_key == KEY


def test_a_key_with_an_equals_sign_is_a_key() -> None:
    """What ends like base64 has no prefix."""
    assert read(password="c2VjcmV0a2V5NDcxMQ==").api_key == "c2VjcmV0a2V5NDcxMQ=="


@pytest.mark.parametrize("password", [None, "", " \n"])
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, "put it in the password field"),
        ({"login": KEY}, "move it from the login to the password field"),
        ({"login": " "}, "put it in the password field"),
        ({"extra": {"api_key": KEY}}, "move it from 'api_key' in the extra to the password field"),
        ({"extra": {"Authorization": KEY}}, "move it from 'Authorization' in the extra"),
    ],
)
def test_a_missing_key_is_looked_for(password: str | None, changes: dict[str, Any], named: str) -> None:
    """Where the password is empty, the field that holds something in its place is named, and what it holds is not."""
    text = refusal(password=password, **changes)

    assert named in text
    assert KEY not in text
