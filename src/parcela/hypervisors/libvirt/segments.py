"""Layer-2 segments: bridges, the NAT network and the firewall between guests and host."""

import asyncio
import logging
from collections.abc import Sequence
from ipaddress import IPv4Address
from uuid import UUID

from parcela.hypervisors.errors import DriverError, UnsupportedError
from parcela.hypervisors.libvirt import firewall, nat
from parcela.hypervisors.libvirt.context import HostContext
from parcela.hypervisors.libvirt.names import BridgeMark, bridge_name, nat_bridge_name
from parcela.hypervisors.libvirt.natguard import NatPort
from parcela.hypervisors.libvirt.taps import Port
from parcela.hypervisors.spec import SegmentKind, SegmentSpec

log = logging.getLogger(__name__)

# Somebody may flush the host's rules at any time (a restarted nftables service): looked at again this often.
FIREWALL_CHECK_S = 30.0


class SegmentActions:
    """The segment methods of the driver."""

    _host: HostContext
    _nat_prefixes: Sequence[str]
    _nat_blocked: Sequence[str]
    _firewall_lock: asyncio.Lock
    _nat_lock: asyncio.Lock
    _firewall_checked_s: float
    _rules_loaded: bool
    _nat_ports_loaded: frozenset[NatPort]

    async def ensure_segment(self, segment: SegmentSpec) -> None:
        """See ``Driver.ensure_segment``."""
        host = self._host
        if host.is_session:
            if segment.kind is SegmentKind.LAN:
                raise UnsupportedError(
                    f"host {host.name} runs without root rights and cannot have LAN segments: "
                    "use edges between two VMs, or a host with qemu:///system"
                )
            # Edges and the way out are made by QEMU itself, with the NIC.
            return
        if segment.kind is SegmentKind.NAT:
            await self._ensure_nat(segment)
            return
        await host.store.run(f"make segment {segment.uuid}", lambda: host.bridges.ensure(segment))
        # After the bridge, so that a removal of the last segment at the same moment sees that it is not the last.
        await self._ensure_firewall()

    async def remove_segment(self, uuid: UUID) -> None:
        """See ``Driver.remove_segment``."""
        host = self._host
        if host.is_session:
            return
        mark: BridgeMark | None = await host.store.run(f"find segment {uuid}", lambda: host.bridges.find(uuid))
        if mark is not None:
            await host.store.run(f"remove segment {uuid}", lambda: host.bridges.remove(mark))
            removed = True
        else:
            removed = await host.calls.run(f"remove segment {uuid}", lambda c: nat.remove(c, host.installation, uuid))
        if removed:
            await self._clear_firewall()

    async def _ensure_nat(self, segment: SegmentSpec) -> None:
        host = self._host
        what = f"make NAT segment {segment.uuid}"
        await host.calls.run(what, lambda c: nat.define(c, host.installation, segment, self._nat_prefixes))
        # Before the network runs: there is no moment in which a guest could reach the host.
        await self._load_firewall()
        # One after the other: a bridge that was just made for the network must not look like a leftover.
        async with self._nat_lock:
            await host.calls.run(what, lambda c: nat.start(c, host.installation))

    async def _ensure_firewall(self) -> None:
        # One after the other: the segments of a slice come all at once, and each would start nft twice.
        async with self._firewall_lock:
            now_s = asyncio.get_running_loop().time()
            if now_s - self._firewall_checked_s < FIREWALL_CHECK_S:
                return
            # The first time in a process also when they are there: they may be those of an older version of ours.
            if self._rules_loaded and await firewall.is_loaded(self._host.installation):
                self._firewall_checked_s = now_s
            else:
                log.info("loading the firewall tables of host %s", self._host.name)
                await self._load_rules()

    async def admit_nat_ports(self, ports: Sequence[Port]) -> None:
        """Let the taps of a VM that is about to start reach what the NAT network offers.

        The starts of a slice share one load: who waited for the lock finds its taps in the rules already.
        """
        nat_bridge = nat_bridge_name(self._host.installation)
        wanted = {NatPort(port.tap, port.mac) for port in ports if port.bridge == nat_bridge}
        if not wanted:
            return
        async with self._firewall_lock:
            if not wanted <= self._nat_ports_loaded:
                await self._load_rules()

    async def repair_firewall(self) -> None:
        """Load our table again when somebody has flushed the host's rules while segments of ours are there.

        Never fails: whoever asks how the host is must get an answer also where nft is missing.
        """
        host = self._host
        if asyncio.get_running_loop().time() - self._firewall_checked_s < FIREWALL_CHECK_S:
            return
        try:
            bridges = await host.store.run("list the bridges", host.bridges.inventory)
            if bridges or await self._nat_address() is not None:
                await self._ensure_firewall()
        except DriverError as error:
            log.warning("could not look after the firewall: %s", error)

    async def _clear_firewall(self) -> None:
        """Remove our table with the last segment of the host."""
        host = self._host
        async with self._firewall_lock:
            bridges = await host.store.run("list the bridges", host.bridges.inventory)
            address = await self._nat_address()
            if not bridges and address is None:
                # Looked at again by the next segment, also when it is being made at this moment.
                self._firewall_checked_s = float("-inf")
                self._nat_ports_loaded = frozenset()
                await firewall.remove(host.installation)

    async def _nat_address(self) -> IPv4Address | None:
        host = self._host
        return await host.calls.run("read the NAT network", lambda c: nat.find_host_address(c, host.installation))

    async def _load_firewall(self) -> None:
        async with self._firewall_lock:
            await self._load_rules()

    async def _load_rules(self) -> None:
        """Load both tables whole; the caller holds the lock."""
        host = self._host
        nat_bridge = nat_bridge_name(host.installation)
        address = await self._nat_address()
        ports = await host.store.run("list the NAT ports", lambda: host.taps.nat_ports(nat_bridge))
        await firewall.load(firewall.ruleset(host.installation, nat_bridge, address, self._nat_blocked, ports))
        self._nat_ports_loaded = frozenset(ports)
        self._firewall_checked_s = asyncio.get_running_loop().time()
        if not self._rules_loaded:
            self._rules_loaded = True
            await host.store.run("secure the taps of running VMs", lambda: _secure_old_taps(host))


def _secure_old_taps(host: HostContext) -> None:
    """VMs that run since an older version of ours have taps with IPv6: an upgrade must not wait for their restart."""
    names = [bridge_name(host.installation, mark.segment_uuid) for mark in host.bridges.inventory()]
    host.taps.secure_old([*names, nat_bridge_name(host.installation)])
