"""Our own nftables tables: what keeps guests away from the host.

They are derived state, loaded atomically and in whole, so they can be rebuilt at any time. Chains of others (libvirt's
iptables rules, the administrator's) exist beside them; a packet must pass all of them, and a drop in ours is final.

The table of family ``bridge`` sees every frame that a bridge would hand to the host's stack, whatever its protocol. The
table of family ``inet`` is the second line: IP that arrives on a tap or a private bridge all the same, and what a guest
of the NAT network may reach.
"""

import asyncio
import contextlib

from parcela.hypervisors.errors import RetryableDriverError
from parcela.hypervisors.libvirt.names import BRIDGE_PREFIX, TAP_PREFIX, firewall_table_name
from parcela.hypervisors.libvirt.natguard import (
    INPUT_CHAIN,
    MARK,
    PORTS_SET,
    NatRules,
    bridge_rules,
    forward_rules,
    incoming_rules,
    prerouting_rules,
)

FAMILIES = ("inet", "bridge")


def ruleset(installation: str, nat_bridge: str, nat: NatRules | None) -> str:
    """Text for ``nft -f``: both tables in one transaction.

    Args:
        installation: names the tables.
        nat_bridge: name of the NAT segment's bridge.
        nat: what its rules are made of; None when there is no NAT segment. All taps that are not in it are private.
    """
    table = firewall_table_name(installation)
    return "\n".join(
        [
            # Adding first makes the deletion succeed when there is none.
            *(f"{verb} table {family} {table}" for family in FAMILIES for verb in ("add", "delete")),
            f"table inet {table} {{",
            *_packet_rules(nat_bridge, nat),
            "}",
            f"table bridge {table} {{",
            *_frame_rules(nat),
            "}",
            "",
        ]
    )


def _packet_rules(nat_bridge: str, rules: NatRules | None) -> list[str]:
    """Chains of the inet table.

    The rules of private bridges are needed although these have no address: a guest that sends a packet for any address
    of the host to the bridge's MAC would be served (Linux accepts its addresses on every interface).
    """
    private = f'"{BRIDGE_PREFIX}*"'
    nat = f'"{nat_bridge}"'
    incoming = [f"iifname {private} drop"]
    if rules is not None:
        incoming += incoming_rules(rules)
    incoming.append(f"iifname {nat} drop")
    # Where br_netfilter is loaded, frames inside one private bridge come by with both names: those must pass.
    forward = [
        f"iifname {private} oifname != {private} drop",
        f"oifname {private} iifname != {private} drop",
        # IPv6 has no NAT here, so nothing of it may leave; and guests do not see each other through the router.
        f"iifname {nat} meta nfproto ipv6 drop",
        f"iifname {nat} oifname {nat} drop",
    ]
    if rules is not None:
        forward += forward_rules(rules)
    return [
        " chain prerouting {",
        # Before connection tracking. A bridge hands frames to some reserved group addresses to the port that they came
        # in at, and then the tap itself is where they arrive.
        "  type filter hook prerouting priority -310; policy accept;",
        f'  iifname "{TAP_PREFIX}*" drop',
        " }",
        " chain nat_prerouting {",
        # After connection tracking and before destination NAT.
        "  type filter hook prerouting priority -150; policy accept;",
        *(f"  {line}" for line in (() if rules is None else prerouting_rules(rules))),
        " }",
        " chain input {",
        "  type filter hook input priority -10; policy accept;",
        *(f"  {line}" for line in incoming),
        " }",
        " chain forward {",
        "  type filter hook forward priority -10; policy accept;",
        *(f"  {line}" for line in forward),
        " }",
    ]


def _frame_rules(rules: NatRules | None) -> list[str]:
    """Chains of the bridge table; its input hook is before the host's stack, ARP and IPv6 included."""
    nat_rules = [] if rules is None else bridge_rules(rules)
    jump = [] if rules is None else [f"  iifname @{PORTS_SET} jump {INPUT_CHAIN}", f"  iifname @{PORTS_SET} drop"]
    return [
        *nat_rules,
        " chain input {",
        "  type filter hook input priority -10; policy accept;",
        *jump,
        # The mark: let in by the rules of another installation on this host, which have judged it. Guests set no marks.
        f'  iifname "{TAP_PREFIX}*" meta mark != {MARK} drop',
        " }",
    ]


async def load(text: str) -> None:
    """Load a ruleset in one transaction; RetryableDriverError when nft fails or is not installed."""
    await _nft("-f", "-", text=text)


async def is_loaded(installation: str) -> bool:
    """Whether both our tables are there."""
    table = firewall_table_name(installation)
    with contextlib.suppress(RetryableDriverError):
        await _nft("-t", *(word for family in FAMILIES for word in ("list", "table", family, table, ";")))
        return True
    return False


async def remove(installation: str) -> None:
    """Remove our tables; fine when there are none."""
    table = firewall_table_name(installation)
    await load("".join(f"{verb} table {family} {table}\n" for family in FAMILIES for verb in ("add", "delete")))


async def _nft(*arguments: str, text: str = "") -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            "nft",
            *arguments,
            # No pipe where there is nothing to say: uvloop fails on closing one whose reader has ended already.
            stdin=asyncio.subprocess.PIPE if text else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise RetryableDriverError("could not set the firewall: nft is not installed", internal=str(error)) from error
    out, errors = await process.communicate(text.encode() or None)
    if process.returncode != 0:
        raise RetryableDriverError("could not set the firewall", internal=errors.decode(errors="replace")[-2000:])
    return out.decode(errors="replace")
