"""IPv4 texts of a template. Each reader raises ValueError with a public sentence."""

import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final

# The ipaddress module also takes netmasks ("/255.255.255.0"), host masks and a missing prefix; the guests do not.
_PREFIXED: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}/\d{1,2}", re.ASCII)
_PLAIN: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_THIS_NETWORK: Final = IPv4Network("0.0.0.0/8")


def read_interface(text: str) -> IPv4Interface:
    """Read the address of a NIC, ``10.0.1.2/24``: a unicast host address of its subnet."""
    if not _PREFIXED.fullmatch(text):
        raise ValueError("An address is written with its prefix, e.g. 10.0.1.2/24.")
    try:
        interface = IPv4Interface(text)
    except ValueError:
        raise ValueError("This is no IPv4 address with a prefix of 1 to 32.") from None
    if not _is_unicast(interface.ip) or interface.ip.is_loopback or interface.network.prefixlen == 0:
        raise ValueError("A NIC needs a unicast address with a prefix of 1 to 32.")
    if not is_host_of(interface.ip, interface.network):
        raise ValueError(f"This is the network or broadcast address of {interface.network}.")
    return interface


def read_network(text: str) -> IPv4Network:
    """Read the destination of a route, ``10.0.2.0/24``, without host bits."""
    if not _PREFIXED.fullmatch(text):
        raise ValueError("A destination is an IPv4 network with its prefix, e.g. 10.0.2.0/24.")
    try:
        return IPv4Network(text)
    except ValueError:
        raise ValueError("This is no IPv4 network: a prefix of 0 to 32, and no host bits set.") from None


def read_address(text: str) -> IPv4Address:
    """Read a plain IPv4 address of a resolver or next hop, ``10.0.1.1``."""
    try:
        address = IPv4Address(text if _PLAIN.fullmatch(text) else "")
    except ValueError:
        raise ValueError("This is no IPv4 address, e.g. 10.0.1.1.") from None
    if not _is_unicast(address):
        raise ValueError("This is no unicast IPv4 address.")
    return address


def is_host_of(address: IPv4Address, network: IPv4Network) -> bool:
    """Tell whether a subnet contains the address as a host; RFC 3021 makes both addresses of a /31 hosts."""
    if address not in network:
        return False
    return network.prefixlen >= 31 or address not in {network.network_address, network.broadcast_address}


def _is_unicast(address: IPv4Address) -> bool:
    return not (address.is_multicast or address.is_reserved or address in _THIS_NETWORK)
