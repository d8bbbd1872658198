from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.core.topology.addresses import is_host_of, read_address, read_interface, read_network


@pytest.mark.parametrize("text", ["10.0.1.2/24", "192.168.0.0/31", "192.168.0.1/31", "10.1.1.1/32", "169.254.1.1/16"])
def test_addresses_of_nics(text: str) -> None:
    assert str(read_interface(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.1.2",
        "10.0.1.0/24",
        "10.0.1.255/24",
        "10.0.1.2/255.255.255.0",
        "10.0.1.2/33",
        "10.0.1.2/0",
        "10.0.1.256/24",
        "010.0.1.2/24",
        "224.0.0.1/24",
        "127.0.0.1/8",
        "0.0.0.1/8",
        "255.255.255.255/32",
        "240.0.0.1/24",
        "fe80::1/64",
        "10.0.1.2/24\n",
        "\u0661.1.1.1/24",
    ],
)
def test_no_addresses_of_nics(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        read_interface(text)


@pytest.mark.parametrize("text", ["10.0.2.0/24", "0.0.0.0/0", "10.0.0.1/32"])
def test_destinations(text: str) -> None:
    assert str(read_network(text)) == text


@pytest.mark.parametrize(
    "text", ["10.0.2.1/24", "default", "10.0.2.0", "10.0.2.0/255.255.255.0", "300.0.0.0/8", "::/0"]
)
def test_no_destinations(text: str) -> None:
    with pytest.raises(ValueError, match="network"):
        read_network(text)


def test_plain_addresses() -> None:
    assert read_address("127.0.0.53") == IPv4Address("127.0.0.53")
    for text in ["", "10.0.0.1/24", "10.0.0", "224.0.0.1", "0.1.2.3", "::1", "10.0.0.01", "dns.google"]:
        with pytest.raises(ValueError, match="IPv4"):
            read_address(text)


def test_hosts_of_a_subnet() -> None:
    subnet = IPv4Network("10.0.0.0/30")
    assert [is_host_of(address, subnet) for address in subnet] == [False, True, True, False]
    assert not is_host_of(IPv4Address("10.0.0.5"), subnet)
    assert is_host_of(IPv4Address("10.0.0.0"), IPv4Network("10.0.0.0/31"))


@given(st.text() | st.from_regex(r"\A\d{1,3}(\.\d{1,3}){3}(/\d{1,2})?\Z"))
def test_what_is_read_is_canonical_and_reads_the_same_again(text: str) -> None:
    for read in (read_interface, read_network, read_address):
        try:
            value = str(read(text))
        except ValueError:
            continue
        assert str(read(value)) == value
