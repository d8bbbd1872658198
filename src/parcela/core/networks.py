"""Which addresses are somebody else's: what Parcela sends by itself must not reach the networks it stands in.

An attacker who may name an address for Parcela to call would otherwise see what only this machine sees: services on
loopback, the management network, the metadata service of a cloud.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address
REFUSED = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and some clouds' metadata
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
NAT64 = ip_network("64:ff9b::/96")


def meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one only wraps (mapped, 6to4, NAT64), or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def may_reach(text: str, allowed: Sequence[str] = ()) -> bool:
    """Whether an address is public, or in one of the ``allowed`` networks.

    Raises:
        ValueError: it is no address.
    """
    address = ip_address(text.partition("%")[0])
    inner = meant(address)
    if any(one in ip_network(network, strict=False) for network in allowed for one in (address, inner)):
        return True
    if any(one in network for network in REFUSED for one in (address, inner)):
        return False
    return inner.is_global and not inner.is_multicast
