"""Layer-2 segments: bridges, the NAT network and the firewall between guests and host."""

import asyncio
import dataclasses
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from parcela.hypervisors.errors import DriverError, UnsupportedError
from parcela.hypervisors.libvirt import firewall, nat
from parcela.hypervisors.libvirt.bridges import host_networks
from parcela.hypervisors.libvirt.context import HostContext
from parcela.hypervisors.libvirt.dnsmasq import tell_dnsmasq
from parcela.hypervisors.libvirt.leases import Reservations, full, reservations_of, try_lock
from parcela.hypervisors.libvirt.names import BridgeMark, bridge_name, nat_bridge_name, nat_network_name
from parcela.hypervisors.libvirt.nat import NatState
from parcela.hypervisors.libvirt.natguard import HostNetworks, NatPort, NatRules, Reach
from parcela.hypervisors.libvirt.taps import Port
from parcela.hypervisors.spec import SegmentKind, SegmentSpec

log = logging.getLogger(__name__)

# Somebody may flush the host's rules at any time (a restarted nftables service): looked at again this often.
FIREWALL_CHECK_S = 30.0
LOCK_POLL_S = 0.02


class SegmentActions:
    """The segment methods of the driver."""

    _host: HostContext
    _nat_prefixes: Sequence[str]
    _reach: Reach
    _firewall_lock: asyncio.Lock
    _nat_lock: asyncio.Lock
    _firewall_checked_s: float
    _loaded_rules: str
    _nat_ports: Sequence[NatPort]
    _dhcp_knows: bool

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
                await host.store.run("forget addresses", self._reservations.remove)
        if removed:
            await self._clear_firewall()

    @asynccontextmanager
    async def _firewall_alone(self) -> AsyncIterator[None]:
        """Hold off other changes of the rules, in this process and in others that drive this host.

        Else one of them would load what it saw before the other let a card in.
        """
        async with self._firewall_lock:
            self._host.layout.make_folders()
            file = os.open(self._host.layout.state_dir / "firewall.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # Not a blocking call on a thread: that could not be cancelled.
                while not try_lock(file):  # noqa: ASYNC110 (the lock is the kernel's, no event tells of it)
                    await asyncio.sleep(LOCK_POLL_S)
                yield
            finally:
                os.close(file)

    @property
    def _reservations(self) -> Reservations:
        # Not kept: libvirtd makes its folder when it starts for the first time, which may be after us.
        return reservations_of(nat_network_name(self._host.installation), self._host.layout.state_dir)

    async def _ensure_nat(self, segment: SegmentSpec) -> None:
        host, file = self._host, self._reservations.path
        what = f"make NAT segment {segment.uuid}"
        await host.calls.run(what, lambda c: nat.define(c, host.installation, segment, self._nat_prefixes, file))
        # Before the network runs: there is no moment in which a guest could reach the host. And the addresses of its
        # cards are on file when its DHCP server begins.
        await self._load_firewall()
        await self._start_nat(what)

    async def _start_nat(self, what: str) -> None:
        host, file = self._host, self._reservations.path
        # One after the other: a bridge that was just made for the network must not look like a leftover.
        async with self._nat_lock:
            await host.calls.run(what, lambda c: nat.start(c, host.installation, file, host.taps))

    async def _ensure_firewall(self) -> None:
        # One after the other: the segments of a slice come all at once, and each would start nft twice.
        async with self._firewall_alone():
            now_s = asyncio.get_running_loop().time()
            if now_s - self._firewall_checked_s < FIREWALL_CHECK_S:
                return
            await self._load_rules()

    async def admit_nat_ports(self, ports: Sequence[Port]) -> None:
        """Reserve addresses for the cards of a VM that is about to start, and let their taps use the NAT network.

        The starts of a slice share one load: who waited for the lock finds its taps in the rules already.

        Raises:
            FatalDriverError: the network has no address left.
        """
        nat_bridge = nat_bridge_name(self._host.installation)
        wanted = {port.tap: port.mac for port in ports if port.bridge == nat_bridge}
        if not wanted:
            return
        async with self._firewall_alone():
            if _admitted(wanted, self._nat_ports):
                return
            await self._load_rules()
            if not _admitted(wanted, self._nat_ports) and (state := await self._nat_state()) is not None:
                raise full(state.subnet)

    async def repair_firewall(self) -> None:
        """Load our table again when somebody has flushed the host's rules while segments of ours are there.

        Never fails: whoever asks how the host is must get an answer also where nft is missing.
        """
        host = self._host
        if asyncio.get_running_loop().time() - self._firewall_checked_s < FIREWALL_CHECK_S:
            return
        try:
            bridges = await host.store.run("list the bridges", host.bridges.inventory)
            state = await self._nat_state()
            if state is not None and state.active and not state.healthy:
                log.info("the NAT network of host %s is of an older version or has no server: starting anew", host.name)
                await self._ensure_nat(SegmentSpec(state.uuid, None, SegmentKind.NAT, tag=0))
            if bridges or state is not None:
                await self._ensure_firewall()
        except DriverError as error:
            log.warning("could not look after the firewall: %s", error)

    async def _clear_firewall(self) -> None:
        """Remove our table with the last segment of the host."""
        host = self._host
        async with self._firewall_alone():
            bridges = await host.store.run("list the bridges", host.bridges.inventory)
            if not bridges and await self._nat_state() is None:
                # Looked at again by the next segment, also when it is being made at this moment.
                self._firewall_checked_s = float("-inf")
                self._nat_ports = ()
                await firewall.remove(host.installation)

    async def _nat_state(self) -> NatState | None:
        host, file = self._host, self._reservations.path
        return await host.calls.run("read the NAT network", lambda c: nat.read(c, host.installation, file))

    async def _load_firewall(self) -> None:
        async with self._firewall_alone():
            await self._load_rules()

    async def _load_rules(self) -> None:
        """Load both tables whole, unless they are loaded and as they should be; the caller holds the lock."""
        host = self._host
        nat_bridge = nat_bridge_name(host.installation)
        state = await self._nat_state()
        rules = None if state is None else await self._nat_rules(nat_bridge, state)
        text = firewall.ruleset(host.installation, nat_bridge, rules)
        if text != self._loaded_rules or not await firewall.is_loaded(host.installation):
            log.info("loading the firewall tables of host %s", host.name)
            await firewall.load(text)
        self._nat_ports = () if rules is None else rules.ports
        self._firewall_checked_s = asyncio.get_running_loop().time()
        if not self._loaded_rules:
            await host.store.run("secure the taps of running VMs", lambda: _secure_old_taps(host))
        self._loaded_rules = text
        # Last, and again next time when it fails: the rules must not wait for a DHCP server that has died.
        if state is not None and state.healthy and not self._dhcp_knows:
            await host.store.run("tell the DHCP server", lambda: tell_dnsmasq(state.name))
            self._dhcp_knows = True

    async def _nat_rules(self, nat_bridge: str, state: NatState) -> NatRules:
        """Reserve an address for every card on the bridge, and forget those of VMs that are gone."""
        host, reservations = self._host, self._reservations

        def work() -> tuple[tuple[NatPort, ...], bool, HostNetworks]:
            owners = host.layout.owners()
            living = {mac for owner in owners.values() if owner.installation == host.installation for mac in owner.macs}
            host.taps.plug_again(nat_bridge, living)
            ports = host.taps.nat_ports(nat_bridge)
            table, changed = reservations.reserve(state.subnet, [port.mac for port in ports], living, state.leases)
            found = tuple(dataclasses.replace(port, address=table.get(port.mac)) for port in ports)
            return found, changed, host_networks(nat_bridge)

        ports, changed, networks = await host.store.run("reserve addresses", work)
        self._dhcp_knows = self._dhcp_knows and not changed
        return NatRules(nat_bridge, state.address, ports, self._reach, networks)


def _admitted(wanted: Mapping[str, str], ports: Sequence[NatPort]) -> bool:
    """Whether the taps with these MACs are in the rules, with an address."""
    return set(wanted.items()) <= {(port.tap, port.mac) for port in ports if port.address is not None}


def _secure_old_taps(host: HostContext) -> None:
    """VMs that run since an older version of ours have taps with IPv6: an upgrade must not wait for their restart."""
    names = [bridge_name(host.installation, mark.segment_uuid) for mark in host.bridges.inventory()]
    host.taps.secure_old([*names, nat_bridge_name(host.installation)])
