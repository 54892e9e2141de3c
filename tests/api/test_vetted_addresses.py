# SPDX-License-Identifier: Apache-2.0
"""A host is resolved once, and only to addresses that may be connected to."""

from __future__ import annotations

import socket

import pytest

from airflow_provider_evolink.api.addresses import vetted_addresses
from airflow_provider_evolink.api.errors import ResultRefusedError


def resolver(*addresses: str) -> object:
    """Stand in for getaddrinfo with these addresses."""

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return resolve


def vetted(host: str, *addresses: str, allow_loopback: bool = False) -> list[str]:
    """Call the function under test with a resolver that returns these addresses."""
    return vetted_addresses(host, 443, allow_loopback=allow_loopback, resolve=resolver(*addresses))  # type: ignore[arg-type]


def test_vetted_addresses_keep_the_resolvers_order() -> None:
    """Public addresses keep the resolver's order, without duplicates."""
    found = vetted("files.example.com", "93.184.216.34", "2606:4700::1111", "93.184.216.34")
    assert found == ["93.184.216.34", "2606:4700::1111"]


@pytest.mark.parametrize("bad", ["10.0.0.1", "127.0.0.1", "::1", "fe80::1%eth0", "::ffff:192.168.0.1", "nonsense"])
def test_one_private_address_spoils_a_host(bad: str) -> None:
    """A host with any address that is not public is refused altogether."""
    with pytest.raises(ResultRefusedError, match="not a public address"):
        vetted("files.example.com", "93.184.216.34", bad)


@pytest.mark.parametrize("loopback", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.8.8.8"])
def test_loopback_needs_to_be_allowed(loopback: str) -> None:
    """Loopback passes when the caller allows it, and only then."""
    assert vetted("localhost", loopback, allow_loopback=True) == [loopback]
    with pytest.raises(ResultRefusedError):
        vetted("localhost", loopback)


@pytest.mark.parametrize("private", ["10.0.0.1", "169.254.169.254", "fe80::1", "0.0.0.0"])
def test_allowing_loopback_allows_nothing_else(private: str) -> None:
    """Other private addresses stay refused where loopback is allowed."""
    with pytest.raises(ResultRefusedError):
        vetted("localhost", private, allow_loopback=True)


def test_literal_hosts_are_not_resolved() -> None:
    """An address is not resolved, and an odd spelling of a private one does not pass."""

    def never(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise AssertionError("the resolver was called")

    assert vetted_addresses("8.8.8.8", 443, allow_loopback=False, resolve=never) == ["8.8.8.8"]
    assert vetted_addresses("[::1]", 443, allow_loopback=True, resolve=never) == ["::1"]
    with pytest.raises(ResultRefusedError, match=r"127\.0\.0\.1"):
        vetted_addresses("0x7f000001", 443, allow_loopback=False, resolve=never)


def test_a_host_without_addresses_is_refused() -> None:
    """A host without addresses, or that can't be looked up, is refused instead of crashing."""
    with pytest.raises(ResultRefusedError, match="no address"):
        vetted("files.example.com")
    with pytest.raises(ResultRefusedError, match="no address"):
        vetted_addresses("a" * 300 + ".com", 443, allow_loopback=False)


def test_a_failing_resolver_is_not_a_refusal() -> None:
    """The resolver's own error passes through, since a retry may succeed."""

    def fails(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    with pytest.raises(socket.gaierror):
        vetted_addresses("files.example.com", 443, allow_loopback=False, resolve=fails)
