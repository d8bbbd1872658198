"""Bridge-family rules for the ports of the NAT bridge: what a guest may send to the host's stack.

Private ports need no rules of their own: the table drops what they send to the host, whatever it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

PORTS_SET = "nat_ports"
INPUT_CHAIN = "nat_input"


@dataclass(frozen=True, slots=True)
class NatPort:
    """A tap on the NAT bridge.

    Attributes:
        tap: its name.
        mac: of the guest's card, lower-case, colon-separated.
    """

    tap: str
    mac: str


def bridge_rules(ports: Sequence[NatPort], nat_address: IPv4Address) -> list[str]:
    """Lines inside our bridge table: sets and chains; the caller drops what ``nat_input`` does not accept.

    Args:
        ports: taps on the NAT bridge. Frames of a tap that is not among them do not reach the host at all.
        nat_address: the host's address on the bridge.
    """
    elements = ", ".join(f'"{port.tap}"' for port in ports)
    return [
        f" set {PORTS_SET} {{",
        "  type ifname;",
        *([f"  elements = {{ {elements} }}"] if elements else []),
        " }",
        f" chain {INPUT_CHAIN} {{",
        # Group addresses and promiscuous copies are for nobody here; so is IPv4 in a multicast or broadcast frame, but
        # for the questions of DHCP.
        f"  ether type arp arp daddr ip {nat_address} accept",
        "  ether type ip meta pkttype host accept",
        "  ether type ip ether daddr ff:ff:ff:ff:ff:ff udp sport 68 udp dport 67 accept",
        " }",
        " chain nat_forward {",
        "  type filter hook forward priority -10; policy accept;",
        f"  iifname @{PORTS_SET} oifname @{PORTS_SET} drop",
        " }",
    ]
