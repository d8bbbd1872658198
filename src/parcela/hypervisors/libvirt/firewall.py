"""Our own nftables table: what keeps guests away from the host.

It is derived state, loaded atomically and in whole, so it can be rebuilt at any time. Chains of others (libvirt's
iptables rules, the administrator's) exist beside it; a packet must pass all of them, and a drop in ours is final.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from parcela.hypervisors.errors import RetryableDriverError
from parcela.hypervisors.libvirt.names import BRIDGE_PREFIX, firewall_table_name


def ruleset(installation: str, nat_bridge: str, nat_address: IPv4Address | None, blocked: Sequence[str] = ()) -> str:
    """Text for ``nft -f``.

    Args:
        installation: names the table.
        nat_bridge: name of the NAT segment's bridge.
        nat_address: the host's address on it; None when there is no NAT segment.
        blocked: IPv4 prefixes that guests of the NAT segment may not reach, for example the management network.

    The rules of private bridges are needed although these have no address: a guest that sends a packet for any address
    of the host to the bridge's MAC would be served (Linux accepts its addresses on every interface).
    """
    table = firewall_table_name(installation)
    private = f'"{BRIDGE_PREFIX}*"'
    nat = f'"{nat_bridge}"'
    lines = [f"iifname {private} drop"]
    if nat_address is not None:
        lines += [
            # Answers to what the host itself began, for example an administrator's ssh.
            f"iifname {nat} ct state established,related accept",
            f"iifname {nat} udp dport 67 udp sport 68 accept",
            f"iifname {nat} ip daddr {nat_address} udp dport 53 accept",
            f"iifname {nat} ip daddr {nat_address} tcp dport 53 accept",
        ]
    lines.append(f"iifname {nat} drop")
    # Where br_netfilter is loaded, frames inside one private bridge come by with both names: those must pass.
    forward = [
        f"iifname {private} oifname != {private} drop",
        f"oifname {private} iifname != {private} drop",
        # IPv6 has no NAT here, so nothing of it may leave; and guests do not see each other through the router.
        f"iifname {nat} meta nfproto ipv6 drop",
        f"iifname {nat} oifname {nat} drop",
    ]
    forward += [f"iifname {nat} ip daddr {IPv4Network(prefix)} drop" for prefix in blocked]
    return "\n".join(
        [
            # Adding first makes the deletion succeed when there is none; all of it is one transaction.
            f"add table inet {table}",
            f"delete table inet {table}",
            f"table inet {table} {{",
            " chain input {",
            "  type filter hook input priority -10; policy accept;",
            *(f"  {line}" for line in lines),
            " }",
            " chain forward {",
            "  type filter hook forward priority -10; policy accept;",
            *(f"  {line}" for line in forward),
            " }",
            "}",
            "",
        ]
    )


async def load(text: str) -> None:
    """Load a ruleset in one transaction; RetryableDriverError when nft fails or is not installed."""
    await _nft("-f", "-", text=text)


async def is_loaded(installation: str) -> bool:
    """Whether our table is there."""
    with contextlib.suppress(RetryableDriverError):
        await _nft("-t", "list", "table", "inet", firewall_table_name(installation))
        return True
    return False


async def remove(installation: str) -> None:
    """Remove our table; fine when there is none."""
    table = firewall_table_name(installation)
    await load(f"add table inet {table}\ndelete table inet {table}\n")


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
