# SPDX-License-Identifier: Apache-2.0
"""Public and private addresses are distinguished in every spelling."""

from __future__ import annotations

import ipaddress
import tracemalloc
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.api.addresses import (
    check_public_url,
    is_public,
    literal_address,
    url_problem,
)
from airflow_provider_evolink.api.errors import InvalidInputError

PRIVATE_IPV4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
private_ipv4 = st.sampled_from(PRIVATE_IPV4).flatmap(lambda net: st.ip_addresses(v=4, network=net))
public_ipv4 = st.sampled_from(["1.0.0.0/24", "8.8.8.0/24", "93.184.0.0/16", "172.32.0.0/16"]).flatmap(
    lambda net: st.ip_addresses(v=4, network=net)
)
quick = settings(max_examples=150, database=None, deadline=2000)


@st.composite
def legacy_spellings(draw: st.DrawFn, addresses: st.SearchStrategy[IPv4Address]) -> str:
    """Spell an IPv4 address as inet_aton accepts it: 1-4 parts, each decimal, octal or hexadecimal."""
    number, count = int(draw(addresses)), draw(st.integers(1, 4))
    parts = [number >> 8 * (3 - index) & 255 for index in range(count - 1)]
    parts.append(number & (1 << 8 * (5 - count)) - 1)
    forms = st.sampled_from(["{}", "0{:o}", "000{:o}", "0x{:x}", "0X{:X}", "0x0{:x}"])
    host = ".".join(draw(forms).format(part) for part in parts)
    if draw(st.booleans()):
        host = host.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789."})
    return host + draw(st.sampled_from(["", "."]))


def embeddings(ip: IPv4Address) -> list[IPv6Address]:
    """Embed an IPv4 address into each kind of IPv6 address that can hold one."""
    number = int(ip)
    return [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(number),
        IPv6Address(0x64FF9B << 96 | number),
        IPv6Address(0x2002 << 112 | number << 80 | 1),
        IPv6Address(0x20010000 << 96 | 0x08080808 << 64 | number ^ 0xFFFFFFFF),
    ]


@quick
@given(legacy_spellings(private_ipv4))
def test_private_ipv4_is_rejected_in_every_spelling(host: str) -> None:
    """No spelling of a private IPv4 address makes it public or gets it into a URL."""
    assert literal_address(host) is not None
    assert not is_public(host)
    assert url_problem(f"https://{host}/hook") is not None
    assert url_problem(f"https://{host}:8443/hook") is not None


@quick
@given(private_ipv4)
def test_private_ipv4_is_rejected_inside_ipv6(ip: IPv4Address) -> None:
    """An IPv6 address that embeds a private IPv4 one is not public either."""
    for embedding in embeddings(ip):
        assert not is_public(embedding)
        assert url_problem(f"https://[{embedding}]/") is not None
        assert url_problem(f"https://[{embedding.exploded.upper()}]:443/") is not None


@quick
@given(public_ipv4)
def test_public_ipv4_passes(ip: IPv4Address) -> None:
    """A public IPv4 address in its usual spelling passes, also inside IPv6."""
    assert is_public(str(ip))
    assert url_problem(f"https://{ip}/hook") is None
    for embedding in embeddings(ip):
        assert is_public(embedding)
        assert url_problem(f"https://[{embedding}]/") is None


@quick
@given(legacy_spellings(public_ipv4))
def test_odd_spellings_of_public_addresses_are_rejected_in_urls(host: str) -> None:
    """A URL must spell an IPv4 address in the usual way, since programs disagree about 010.8.8.8."""
    usual = str(literal_address(host))
    assert (url_problem(f"https://{host}/") is None) == (host == usual)


@pytest.mark.parametrize(
    "address",
    [
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "100::1",
        "2001:db8::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "64:ff9b:1::808:808",
        "::ffff:0:7f00:1",
        "192.88.99.1",
        "255.255.255.255",
        "not an address",
        "",
    ],
)
def test_not_public(address: str) -> None:
    """Loopback, link-local, unique-local, multicast, documentation and unassigned ranges are not public."""
    assert not is_public(address)


def test_public_ipv6() -> None:
    """Global unicast addresses are public."""
    assert is_public("2606:4700:4700::1111")
    assert is_public(ipaddress.ip_address("2a00:1450:4001::200e"))
    assert url_problem("https://[2606:4700:4700::1111]:443/a?b#c") is None


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("①②⑦.⓪.⓪.①", "127.0.0.1"),
        ("127。0。0。1", "127.0.0.1"),
        ("127․0․0․1", "127.0.0.1"),  # noqa: RUF001
        ("127.0.0\xad.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::FFFF:127.0.0.1", "::ffff:7f00:1"),
    ],
)
def test_literal_address_reads_odd_spellings(host: str, address: str) -> None:
    """Whatever a resolver takes for an address is parsed as that address."""
    assert literal_address(host) == ipaddress.ip_address(address)


@pytest.mark.parametrize(
    "host", ["", "example.com", "1.2.3.4.5", "256.1.1.1", "08.8.8.8", "::g", "a" * 300, "\ud800", "127.0.0.1..", "\0"]
)
def test_literal_address_leaves_names(host: str) -> None:
    """A name, or something that is not a host at all, is not an address."""
    assert literal_address(host) is None


def test_no_long_host_is_kept() -> None:
    """Hosts are remembered, but none that is longer than a host can be, whatever a link contains."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(10):
        literal_address(f"{number}" * 100_000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert after - before < 100_000


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/",
        "HTTPS://Example.COM./hook?a=b#c",
        "https://example.com:8443/hook",
        "https://xn--mnchen-3ya.de/",
        "https://münchen.de/路径",
        "https://a_b.example.com/@user",
        "https://your-domain.com/webhooks/video-task-completed",
        "https://localhost.example.com/",
        "https://10.example.com/",
    ],
)
def test_public_urls_pass(url: str) -> None:
    """Ordinary public URLs pass, with ports, queries and names in any script."""
    check_public_url(url, parameter="callback_url")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (None, "https URL.* not text"),
        (5, "https URL.* not text"),
        ("", "begin with https://"),
        ("example.com/hook", "begin with https://"),
        ("http://example.com", "begin with https://"),
        ("ftp://example.com", "begin with https://"),
        ("//example.com", "begin with https://"),
        ("https:example.com", "malformed"),
        ("https:///hook", "malformed"),
        ("https://", "malformed"),
        ("https://example.com:0/", "malformed"),
        ("https://example.com:99999/", "malformed"),
        ("https://example.com:80:80/", "malformed"),
        ("https://example.com:8a/", "malformed"),
        ("https://[::1", "malformed"),
        ("https://[::1]evil.com/", "malformed"),
        ("https://[2606:4700::1111]evil.com/", "malformed"),
        ("https://[2606:4700::1111%25eth0]/", "malformed"),
        ("https://[v1.fe]/", "malformed"),
        ("https://[::::]/", "malformed|not a valid"),
        ("https://a\uff0fb.com/", "malformed"),
        ("https://exam%70le.com/", "malformed"),
        ("https://127.0.0.1%2eexample.com/", "malformed"),
        ("https://user@example.com/", "user name"),
        ("https://example.com@127.0.0.1/", "user name"),
        ("https://:@example.com/", "user name"),
        ("https://example.com\\@127.0.0.1/", "backslash"),
        ("https:\\\\example.com/", "backslash"),
        ("https://example.com/a b", "space"),
        (" https://example.com/", "space"),
        ("https://example.com/\n", "space"),
        ("https://exam\tple.com/", "space"),
        ("https://example.com/\x00", "control"),
        ("https://example.com/\ud800", "control"),
        ("https://a..b.com/", "not a valid name"),
        ("https://.example.com/", "not a valid name"),
        ("https://a!b.com/", "not a valid name"),
        ("https://" + "a" * 64 + ".com/", "not a valid name"),
        ("https://" + "a." * 150 + "com/", "not a valid name"),
        ("https://256.256.256.256/", "not a valid name"),
        ("https://4294967296/", "not a valid name"),
        ("https://08.8.8.8/", "not a valid name"),
        ("https://1.2.3.0x/", "not a valid name"),
        ("https://localhost/", "private network"),
        ("https://LOCALHOST./", "private network"),
        ("https://ⓛocalhost/", "private network"),
        ("https://api.localhost/", "private network"),
        ("https://printer.local/", "private network"),
        ("https://metadata.google.internal/", "private network"),
        ("https://nas.home.arpa/", "private network"),
        ("https://intranet/", "private network"),
        ("https://169.254.169.254/latest/meta-data", "private, loopback"),
    ],
)
def test_invalid_urls_are_rejected(url: object, problem: str) -> None:
    """A URL that is malformed, ambiguous or private is rejected with the reason."""
    with pytest.raises(InvalidInputError, match=problem) as raised:
        check_public_url(url, parameter="callback_url")
    assert raised.value.parameter == "callback_url"


def test_the_caller_chooses_schemes_and_length() -> None:
    """The caller says which schemes and which length are allowed, and an error repeats them."""
    assert url_problem("http://example.com/", schemes=("http", "https")) is None
    assert url_problem("https://example.com/", max_length=20) is None
    assert "20 characters" in str(url_problem("https://example.com/", max_length=19))
    with pytest.raises(InvalidInputError) as raised:
        check_public_url("https://example.com/", parameter="link", schemes=("http", "https"), max_length=19)
    assert raised.value.allowed == "a public http or https URL of at most 19 characters, but it has 20 characters"


@pytest.mark.parametrize(
    "url",
    [
        "http://h.example.com/p?token=SECRET",
        "https://me:SECRET@h.example.com/p",
        "https://10.0.0.1/#SECRET",
        "https://me:a/b?SECRET@h.example.com/",
    ],
)
def test_errors_show_no_secrets(url: str) -> None:
    """Passwords, queries and fragments of a rejected URL stay out of the error."""
    with pytest.raises(InvalidInputError) as raised:
        check_public_url(url, parameter="callback_url")
    assert "SECRET" not in str(raised.value)
    assert "`callback_url`=" in str(raised.value)


@settings(max_examples=300, database=None, deadline=2000)
@given(st.one_of(st.text(), st.text().map("https://{}".format), st.text().map("https://{}.com/".format)))
def test_any_text_is_judged_without_a_crash(text: str) -> None:
    """Any text is either accepted or rejected with a reason."""
    assert url_problem(text) is None or " " in str(url_problem(text))
    literal_address(text)


LOCAL = [
    "http://127.0.0.1/a.png", "http://127.0.0.1:8080/media/a.png?x=1", "https://localhost:9/a", "http://[::1]:80/a",
    "http://127.255.0.9/", "http://LOCALHOST/a",
]  # fmt: skip


@pytest.mark.parametrize("url", LOCAL)
def test_this_machine_passes_where_it_is_allowed(url: str) -> None:
    """Links to this machine pass for an API on this machine, and for no other."""
    for schemes in (("https",), ("http", "https")):
        check_public_url(url, parameter="link", schemes=schemes, max_length=100, allow_loopback=True)
        with pytest.raises(InvalidInputError, match="link"):
            check_public_url(url, parameter="link", schemes=schemes)


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/a", "http://192.168.0.1/a", "http://169.254.169.254/a", "http://0.0.0.0/a", "ftp://127.0.0.1/a",
        "http://user:secret@127.0.0.1/a", "http://127.0.0.1\\@10.0.0.1/a", "http://127.0.0.1 /a", "http://2130706433/a",
        "http://127.1/a", "http://0x7f000001/a", "http://localhost.example/a b", "http://notlocalhost/a", "/a.png",
        "http://127.0.0.1:0/a", "http://127.0.0.1/" + "x" * 100,
    ],
)  # fmt: skip
def test_nothing_else_passes_with_this_machine(url: str) -> None:
    """Other private addresses, odd spellings of this machine, and whatever is not a link stay rejected."""
    with pytest.raises(InvalidInputError, match="link"):
        check_public_url(url, parameter="link", schemes=("http", "https"), max_length=100, allow_loopback=True)
