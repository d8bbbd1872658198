"""Which Host headers name us."""

import pytest

from parcela.core.sites import host_of, is_known_host, is_loopback, listening_site, own_site

LISTEN = ("127.0.0.1", 8000)


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("lab.example", "lab.example"),
        ("LAB.example.:8443", "lab.example"),
        ("[::1]:8000", "::1"),
        ("127.0.0.1:8000", "127.0.0.1"),
        ("", ""),
        ("lab.example:port", ""),
        ("lab.example:99999", ""),
        ("evil.example/lab.example", ""),
        ("evil.example?lab.example", ""),
        ("lab.example@evil.example", ""),
        ("evil.example\\lab.example", ""),
        ("lab.example\tevil", ""),
        ("[::1", ""),
    ],
)
def test_host_of_a_header(header: str, host: str) -> None:
    assert host_of(header) == host


@pytest.mark.parametrize(
    "header",
    ["127.0.0.1:8000", "[::1]:8000", "192.168.1.5", "localhost:1", "x.localhost", "api:8000", "LAB.example:443"],
)
def test_known_hosts(header: str) -> None:
    assert is_known_host(header, "https://lab.example/", ())


@pytest.mark.parametrize(
    "header", ["evil.example", "lab.example.evil.example", "evil.example:8000", "", "lab.example:x"]
)
def test_unknown_hosts(header: str) -> None:
    assert not is_known_host(header, "https://lab.example", ("other.example",))
    assert not is_known_host(header, "", ())


def test_allowed_hosts_are_known() -> None:
    assert is_known_host("Other.example:8000", "", ("other.EXAMPLE",))


@pytest.mark.parametrize(
    ("base_url", "public_url", "site"),
    [
        ("http://evil.example/", "https://lab.example/", "https://lab.example"),
        ("http://evil.example/", "", "http://127.0.0.1:8000"),
        ("http://10.0.0.7:8000/", "", "http://10.0.0.7:8000"),
        ("https://localhost/", "", "https://localhost"),
        ("http://user@localhost/", "", "http://127.0.0.1:8000"),
    ],
)
def test_our_own_address(base_url: str, public_url: str, site: str) -> None:
    assert own_site(base_url, public_url, LISTEN) == site


def test_the_address_of_a_server() -> None:
    assert [listening_site("127.0.0.1", 8911), listening_site("::1", 80)] == [
        "http://127.0.0.1:8911",
        "http://[::1]:80",
    ]


def test_loopback_addresses() -> None:
    assert [one for one in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "lab", "") if is_loopback(one)] == [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
    ]
