"""Which addresses webhooks may reach."""

import pytest

from parcela.core.networks import may_reach

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
