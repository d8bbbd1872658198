"""Which addresses are somebody else's: what Parcela sends by itself must not reach the networks it stands in.

An attacker who may name an address for Parcela to call would otherwise see what only this machine sees: services on
loopback, the management network, the metadata service of a cloud.
"""

import re
import socket
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
GLOBAL_UNICAST = ip_network("2000::/3")
"""The only part of IPv6 from which public addresses are given (RFC 4291, IANA)."""
WRAPPING = (
    ip_network("64:ff9b::/96"),  # NAT64, RFC 6052
    ip_network("::ffff:0:0:0/96"),  # IPv4-translated, RFC 2765
)
LOCAL_NAMES = frozenset({"localhost", "ip6-localhost", "ip6-loopback", "localhost6", "loopback"})
LOCAL_SUFFIXES = (".localhost", ".localdomain", ".localdomain6")
INNER_SUFFIXES = (".local", ".internal", ".intranet", ".private", ".lan", ".home.arpa")
"""Names that no public resolver knows (RFC 6762, RFC 8375, ICANN's `.internal`, and usual ones of home routers)."""
LOOPBACK = ("127.0.0.1", "::1")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one only wraps (mapped, translated, 6to4, NAT64), or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if any(address in network for network in WRAPPING):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def spelt_address(host: str) -> Address | None:
    """The address that the host of a URL spells; None for a name.

    Resolvers read IPv4 addresses as ``inet_aton`` does: of one to four parts, each decimal, octal (``0177``) or
    hexadecimal (``0x7f``), the last one filling the rest. A host whose last part is a number is never a name.

    Raises:
        ValueError: it is neither an address nor a name.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone belongs to one interface")
        return IPv6Address(host)
    plain = host.lower().removesuffix(".")
    if len(plain) > 253 or not _HOST.fullmatch(plain):
        raise ValueError(f"'{host}' is no host")
    if not _NUMBER.fullmatch(plain.rpartition(".")[2]):
        return None
    try:
        return IPv4Address(socket.inet_aton(plain))
    except OSError as exc:
        raise ValueError(f"'{host}' is no address") from exc


def may_reach_host(host: str, allowed: Sequence[str] = ()) -> bool:
    """Whether the host of a URL may be public, as far as can be told without asking a resolver.

    A name of this machine is judged as loopback. Names that only a local resolver knows pass only where some
    network is allowed, since the administrator then expects receivers inside; their addresses are judged later.

    Raises:
        ValueError: it is neither an address nor a name.
    """
    address = spelt_address(host)
    if address is not None:
        return may_reach(str(address), allowed)
    name = host.lower().removesuffix(".")
    if name in LOCAL_NAMES or name.endswith(LOCAL_SUFFIXES) or name == socket.gethostname().lower():
        return any(may_reach(one, allowed) for one in LOOPBACK)
    return bool(allowed) or ("." in name and not name.endswith(INNER_SUFFIXES))


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
    if isinstance(inner, IPv6Address) and inner not in GLOBAL_UNICAST:
        return False
    return inner.is_global and not inner.is_multicast
