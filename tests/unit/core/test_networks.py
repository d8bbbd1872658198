"""Which addresses webhooks may reach."""

import pytest

from parcela.core.networks import may_reach, may_reach_host

INSIDE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",  # noqa: S104 (nothing is bound)
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "2001:db8::1",
    "::7f00:1",
    "::ffff:0:127.0.0.1",
    "::ffff:0:a00:1",
    "4000::1",
    "1::1",
]
OUTSIDE = ["1.1.1.1", "93.184.216.34", "172.15.0.1", "172.32.0.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"]


@pytest.mark.parametrize("address", INSIDE)
def test_own_networks_are_refused(address: str) -> None:
    assert not may_reach(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses_are_reached(address: str) -> None:
    assert may_reach(address)


def test_what_is_allowed_is_reached_and_nothing_beside_it() -> None:
    allowed = ("10.1.0.0/16", "fd00::/8")
    assert may_reach("10.1.2.3", allowed)
    assert may_reach("::ffff:10.1.2.3", allowed)
    assert may_reach("fd12::1", allowed)
    assert not may_reach("10.2.0.1", allowed)
    assert not may_reach("127.0.0.1", allowed)


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="hooks"):
        may_reach("hooks.example")


LOOPBACK_SPELT = [
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0X7F.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.0x0.0.01",
    "127.0.0.1.",
    "127.1.",
    "0",
    "0x0",
    "::1",
    "::",
    "0:0:0:0:0:0:0:1",
    "::ffff:7f00:1",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::127.0.0.1",
    "2002:7f00:1::",
    "localhost",
    "LOCALHOST.",
    "anything.localhost",
    "localhost.localdomain",
    "ip6-localhost",
]
INNER_SPELT = [
    "10.1",
    "0xa9.0xfea9fe",
    "2852039166",
    "0xc0a80101",
    "192.168.257",
    "printer",
    "db.internal",
    "nas.local.",
]
NO_HOST = [
    "",
    ".",
    "-a.example",
    "a..example",
    "a.example..",
    "127.0.0.256",
    "1.2.3.4.5",
    "0x",
    "08.0.0.1",
    "a.1",
    "a%31",
]


@pytest.mark.parametrize("host", LOOPBACK_SPELT + INNER_SPELT)
def test_every_spelling_of_an_inner_address_is_refused(host: str) -> None:
    assert not may_reach_host(host)


@pytest.mark.parametrize("host", [*NO_HOST, "fe80::1%eth0", "::ffff:1.2.3", "①②⑦.0.0.1", "127。0。0。1"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        may_reach_host(host)


@pytest.mark.parametrize(
    "host", ["1.1", "0x08080808", "hooks.example", "HOOKS.example.", "xn--hks-sna.example", "2606::1"]
)
def test_public_hosts_are_reached(host: str) -> None:
    assert may_reach_host(host)


def test_names_of_the_own_network_need_an_allowed_network() -> None:
    assert may_reach_host("grader", ("10.0.0.0/8",))
    assert not may_reach_host("localhost", ("10.0.0.0/8",))
    assert may_reach_host("localhost", ("127.0.0.0/8",))
    assert may_reach_host("127.1", ("127.0.0.0/8",))
