# SPDX-License-Identifier: Apache-2.0
"""The choice of the proxy for a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import ConfigurationError
from airflow_provider_evolink.api.proxies import is_supported_proxy, proxy_for

API = "https://api.example.com"
PROXY = "http://proxy.example.com:3128"


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"https": PROXY}, PROXY),
        ({"all": PROXY}, PROXY),
        ({"https": PROXY, "all": "socks5://other:1"}, PROXY),
        ({"http": PROXY}, None),
        ({"https": ""}, None),
        ({"https": "proxy.example.com:3128"}, PROXY),
        ({"https": " https://proxy.example.com "}, "https://proxy.example.com"),
    ],
)
def test_proxies_of_the_environment(environment: dict[str, str], proxy: str | None) -> None:
    """The scheme's proxy takes precedence over ALL_PROXY; a proxy without a scheme is an HTTP proxy."""
    assert proxy_for(API, None, environment) == proxy


def test_the_connections_proxy_takes_precedence() -> None:
    """The connection's proxy overrides the environment's proxies and NO_PROXY."""
    assert proxy_for(API, PROXY, {"https": "http://other:1", "no": "*"}) == PROXY


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "localhost", "LOCALHOST.", "[::1]", "[::ffff:127.0.0.1]"])
def test_this_machine_is_reached_without_a_proxy(host: str) -> None:
    """Requests to this machine use neither the connection's proxy nor the environment's."""
    for scheme in ("http", "https"):
        assert proxy_for(f"{scheme}://{host}:8000", PROXY, {"http": PROXY, "https": PROXY, "all": PROXY}) is None


@pytest.mark.parametrize(
    ("exceptions", "host", "is_exempt"),
    [
        ("*", "api.example.com", True),
        ("example.com", "api.example.com", True),
        (".example.com", "api.example.com", True),
        ("*.example.com", "API.example.com", True),
        ("a.test, EXAMPLE.com", "api.example.com", True),
        ("a.test b.test api.example.com.", "api.example.com", True),
        ("ample.com", "api.example.com", False),
        ("api.example.com.evil.test", "api.example.com", False),
        ("example.com:443", "api.example.com", True),
        ("example.com:8443", "api.example.com", False),
        ("example.com:8443", "api.example.com:8443", True),
        ("", "api.example.com", False),
        (" ,., ", "api.example.com", False),
        ("8.8.8.8", "8.8.8.8", True),
        ("8.8.0.0/16", "8.8.4.4", True),
        ("8.8.0.0/16", "8.9.4.4", False),
        ("8.8.0.0/16", "api.example.com", False),
        ("2606:4700::/32", "[2606:4700::1]", True),
        ("[2606:4700::1]", "[2606:4700::1]", True),
        ("8.8.8.8:8443", "8.8.8.8:8443", True),
    ],
)
def test_no_proxy(exceptions: str, host: str, is_exempt: bool) -> None:
    """NO_PROXY lists domains with their subdomains, addresses and networks, optionally with a port."""
    chosen = proxy_for(f"https://{host}", None, {"https": PROXY, "no": exceptions})
    assert chosen == (None if is_exempt else PROXY)


@pytest.mark.parametrize(
    "proxy", ["socks5://me:hunter2@p:1", "socks5h://p", "ftp://p", "http://p:port", "http://", "http://["]
)
def test_an_unsupported_proxy_is_reported(proxy: str) -> None:
    """The error says which setting names the proxy and which kinds are supported, without the password."""
    with pytest.raises(
        ConfigurationError, match=r"HTTPS_PROXY or ALL_PROXY .*http://.*https://.*NO_PROXY.* Nothing was sent"
    ) as caught:
        proxy_for(API, None, {"all": proxy})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="The connection's proxy setting"):
        proxy_for(API, proxy, {})
    assert proxy_for(API, None, {"all": proxy, "no": ".example.com"}) is None


@given(
    st.text() | st.from_regex(r"[a-z0-9]{0,5}(://)?[\w.:@\[\]/-]{0,20}"),
    st.text() | st.from_regex(r"[\w.*:/\[\], -]{0,30}"),
)
def test_any_environment_is_a_proxy_or_one_clear_error(proxy: str, exceptions: str) -> None:
    """Any environment leads to a supported proxy, none, or one clear error."""
    try:
        chosen = proxy_for(API, None, {"all": proxy, "no": exceptions})
    except ConfigurationError:
        return
    assert chosen is None or is_supported_proxy(chosen)
