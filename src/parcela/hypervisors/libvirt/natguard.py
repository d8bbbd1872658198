"""Rules for the NAT network: what its guests may send to the host, and what they may reach through it.

Each card is bound to its MAC and to its reserved address, in Ethernet, ARP, IPv4 and DHCP alike. That is judged before
the bridge learns where a MAC is: otherwise one frame with a neighbour's MAC turns that neighbour's traffic around.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

PORTS_SET = "nat_ports"
INPUT_CHAIN = "nat_input"
MARK = "0x70636c31"
"""On frames that the rules of a NAT network have let in, from the port to the bridge's own input."""
NEVER = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))
"""Unreachable on every host: loopback, link-local (metadata services), multicast, reserved, broadcast."""


@dataclass(frozen=True, slots=True)
class NatPort:
    """A tap on the NAT bridge.

    Attributes:
        tap: its name.
        mac: of the guest's card, lower-case, colon-separated.
        address: reserved for the card; None when there is none left, and then nothing of it passes.
    """

    tap: str
    mac: str
    address: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class HostNetworks:
    """What the host itself has, as it is now.

    Attributes:
        addresses: IPv4 addresses of all its interfaces.
        connected: networks that it reaches without a gateway.
    """

    addresses: tuple[IPv4Address, ...] = ()
    connected: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Reach:
    """What an administrator says of the way out.

    Attributes:
        blocked: prefixes that guests never reach.
        allowed: prefixes that they reach although the host is connected to them; ``blocked`` is stronger.
    """

    blocked: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NatRules:
    """Everything the rules of a NAT network are made of.

    Attributes:
        bridge: name of its bridge.
        address: the host's on it.
        ports: the taps on the bridge.
        reach: the administrator's wishes.
        host: what the host has.
    """

    bridge: str
    address: IPv4Address
    ports: tuple[NatPort, ...] = ()
    reach: Reach = Reach()
    host: HostNetworks = HostNetworks()


def bridge_rules(rules: NatRules) -> list[str]:
    """Lines inside our bridge table: sets and chains; the caller drops what ``nat_input`` does not accept."""
    ports = rules.ports
    cards = [port for port in ports if port.address is not None]
    return [
        *_set(PORTS_SET, "ifname", [_q(port.tap) for port in ports]),
        *_set("nat_macs", "ifname . ether_addr", [f"{_q(port.tap)} . {port.mac}" for port in ports]),
        *_set("nat_addresses", "ifname . ipv4_addr", [f"{_q(card.tap)} . {card.address}" for card in cards]),
        *_set(
            "nat_cards",
            "ifname . ether_addr . ipv4_addr",
            [f"{_q(card.tap)} . {card.mac} . {card.address}" for card in cards],
        ),
        # The client's hardware address inside DHCP: 28 bytes after the 8 of the UDP header. A chain for each card,
        # because nft of Debian 11 takes no raw bytes in a set.
        *(
            line
            for card in cards
            for line in (
                f" chain dhcp_{card.tap} {{",
                f"  @th,288,48 0x{card.mac.replace(':', '')} meta mark set {MARK} accept",
                " }",
            )
        ),
        *_map("nat_clients", [f"{_q(card.tap)} : jump dhcp_{card.tap}" for card in cards]),
        *_chain("nat_from", _from_guest(rules.address)),
        *_chain("nat_to", _to_guest()),
        *_chain(INPUT_CHAIN, _to_host(rules.address)),
        *_hook("nat_prerouting", "prerouting", -300, [f"iifname @{PORTS_SET} goto nat_from"]),
        *_hook("nat_postrouting", "postrouting", 0, [f"oifname @{PORTS_SET} goto nat_to"]),
        # The host may have routing rules of its own for marks. Not in the inet table: where br_netfilter is loaded, it
        # has seen the packet before this hook.
        *_hook("nat_unmark", "input", 1000, [f"iifname @{PORTS_SET} meta mark set 0"]),
        *_hook("nat_forward", "forward", -10, [f"iifname @{PORTS_SET} oifname @{PORTS_SET} drop"]),
    ]


def _from_guest(address: IPv4Address) -> list[str]:
    """What a guest may send at all. VLAN tags and IPv6 have other types than these two, and end at the last line."""
    take = f"meta mark set {MARK} accept"
    return [
        "iifname . ether saddr != @nat_macs drop",
        # Who asks for another address than the host's learns nothing: the kernel would answer for all it has.
        f"ether type arp arp daddr ip {address} iifname . arp saddr ether . arp saddr ip @nat_cards {take}",
        "ether type ip ip saddr 0.0.0.0 udp sport 68 udp dport 67 iifname vmap @nat_clients",
        "ether type ip iifname . ip saddr @nat_addresses udp sport 68 udp dport 67 iifname vmap @nat_clients",
        "ether type ip udp dport 67 drop",
        "ether type ip udp sport 67 drop",
        f"ether type ip iifname . ether saddr . ip saddr @nat_cards {take}",
        "drop",
    ]


def _to_guest() -> list[str]:
    """What a guest gets: a bridge sends frames for a MAC that it has forgotten to all of its ports."""
    return [
        "oifname . ether daddr @nat_macs accept",
        "ether type arp arp operation request oifname . arp daddr ip @nat_addresses accept",
        "ether type ip udp sport 67 udp dport 68 oifname vmap @nat_clients",
        "drop",
    ]


def _to_host(address: IPv4Address) -> list[str]:
    return [
        # Group addresses and promiscuous copies are for nobody here; so is IPv4 in a multicast or broadcast frame, but
        # for the questions of DHCP.
        f"ether type arp arp daddr ip {address} accept",
        "ether type ip meta pkttype host accept",
        "ether type ip ether daddr ff:ff:ff:ff:ff:ff udp sport 68 udp dport 67 accept",
    ]


def incoming_rules(rules: NatRules) -> list[str]:
    """Rules of the inet table for packets to the host itself."""
    nat = f"iifname {_q(rules.bridge)}"
    return [
        # Answers to what the host itself began, for example an administrator's ssh.
        f"{nat} ct state established,related accept",
        f"{nat} udp dport 67 udp sport 68 accept",
        f"{nat} ip daddr {rules.address} udp dport 53 accept",
        f"{nat} ip daddr {rules.address} tcp dport 53 accept",
    ]


def prerouting_rules(rules: NatRules) -> list[str]:
    """The same before destination NAT: a published port of a container is a service of the host too."""
    addresses = _networks(IPv4Network(address) for address in rules.host.addresses)
    if not addresses:
        return []
    own = f"iifname {_q(rules.bridge)} ip daddr {addresses}"
    return [*incoming_rules(rules), f"{own} drop"]


def forward_rules(rules: NatRules) -> list[str]:
    """Rules of the inet table for packets through the host; they come after those that part guests from each other."""
    nat = f"iifname {_q(rules.bridge)}"
    blocked = _networks(map(IPv4Network, rules.reach.blocked))
    allowed = _networks(map(IPv4Network, rules.reach.allowed))
    return [
        *([f"{nat} ip daddr {blocked} drop"] if blocked else []),
        *([f"{nat} ip daddr {allowed} accept"] if allowed else []),
        f"{nat} ip daddr {_networks((*NEVER, *rules.host.connected))} drop",
    ]


def _networks(networks: Iterable[IPv4Network]) -> str:
    """An nftables set without overlaps, which nft refuses; "" for none."""
    found = sorted(collapse_addresses(networks))
    return f"{{ {', '.join(map(str, found))} }}" if found else ""


def _q(name: str) -> str:
    return f'"{name}"'


def _set(name: str, kind: str, elements: Sequence[str]) -> list[str]:
    return [f" set {name} {{", f"  type {kind};", *_elements(elements), " }"]


def _map(name: str, elements: Sequence[str]) -> list[str]:
    return [f" map {name} {{", "  type ifname : verdict;", *_elements(elements), " }"]


def _elements(elements: Sequence[str]) -> list[str]:
    return [f"  elements = {{ {', '.join(elements)} }}"] if elements else []


def _chain(name: str, lines: Sequence[str]) -> list[str]:
    return [f" chain {name} {{", *(f"  {line}" for line in lines), " }"]


def _hook(name: str, hook: str, priority: int, lines: Sequence[str]) -> list[str]:
    return _chain(name, [f"type filter hook {hook} priority {priority}; policy accept;", *lines])
