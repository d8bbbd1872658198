"""What of ours is on the host."""

from uuid import UUID

import libvirt

from parcela.core.disks import DiskSpace
from parcela.core.power import PowerReason
from parcela.hypervisors.libvirt import nat
from parcela.hypervisors.libvirt.context import HostContext
from parcela.hypervisors.libvirt.failures import is_code
from parcela.hypervisors.libvirt.layout import Owner
from parcela.hypervisors.libvirt.power import power_state
from parcela.hypervisors.libvirt.reasons import power_reason
from parcela.hypervisors.libvirt.xml.metadata import NAMESPACE, Metadata
from parcela.hypervisors.spec import Inventory, PowerState, SegmentKind, SegmentObservation, VmObservation

ALMOST_NOTHING_MIB = 16
State = tuple[Metadata, PowerState, PowerReason | None]
# A hung guest must not keep the caller waiting.
INVENTORY_TIMEOUT_S = 20.0


class InventoryActions:
    """``inventory`` of the driver."""

    _host: HostContext
    _marks: dict[tuple[UUID, str], Metadata | None]

    async def inventory(self) -> Inventory:
        """See ``Driver.inventory``."""
        host = self._host
        owners = await host.store.run("list the VM folders", host.layout.owners)
        ours = {uuid: owner for uuid, owner in owners.items() if owner.installation == host.installation}
        inventory = await host.watch.run(
            "list what is on the host", lambda c: self._collect(c, ours), timeout_s=INVENTORY_TIMEOUT_S
        )
        host.known.update(vm.uuid for vm in inventory.vms)
        return inventory

    def _collect(self, connection: libvirt.virConnect, owners: dict[UUID, Owner]) -> Inventory:
        host = self._host
        # Before the states: a VM that is made meanwhile must not look like one of which only its taps are left.
        taps = frozenset() if host.is_session else host.taps.owners()
        states = self._states(connection)
        segments: list[SegmentObservation] = []
        leases: dict[str, str] = {}
        if not host.is_session:
            segments += [SegmentObservation(m.segment_uuid, m.slice_uuid, m.kind) for m in host.bridges.inventory()]
            network = nat.find(connection, host.installation)
            if network is not None:
                segments.append(SegmentObservation(UUID(network.UUIDString()), None, SegmentKind.NAT))
                leases = nat.leases(network)
        vms = []
        for uuid, (metadata, power, reason) in states.items():
            macs = owners[uuid].macs if uuid in owners else ()
            addresses = tuple((mac, leases[mac]) for mac in macs if mac in leases)
            vms.append(VmObservation(uuid, metadata.slice_uuid, power, addresses=addresses, reason=reason))
        # What a killed or interrupted removal left: a folder, or taps alone.
        left = dict.fromkeys(taps) | {uuid: owner.slice_uuid for uuid, owner in owners.items()}
        vms += [
            VmObservation(uuid, slice_uuid, PowerState.STOPPED, defined=False)
            for uuid, slice_uuid in left.items()
            if uuid not in states
        ]
        return Inventory(tuple(vms), tuple(segments))

    def _states(self, connection: libvirt.virConnect) -> dict[UUID, State]:
        """Our domains: one call for all states, and one more for each domain that was never seen before."""
        rows = connection.getAllDomainStats(
            libvirt.VIR_DOMAIN_STATS_STATE, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        )
        found: dict[UUID, State] = {}
        marks: dict[tuple[UUID, str], Metadata | None] = {}
        for domain, stats in rows:
            uuid = UUID(domain.UUIDString())
            # The name is part of the key: it is the cheap sign that a stranger's domain was replaced by another.
            key = (uuid, domain.name())
            marks[key] = metadata = self._marks[key] if key in self._marks else _metadata(domain)
            if metadata is not None and metadata.installation == self._host.installation:
                numbers = stats["state.state"], stats["state.reason"]
                reason = power_reason(*numbers)
                if reason is PowerReason.IO_ERROR:
                    reason = self._io_error(uuid)
                found[uuid] = (metadata, power_state(*numbers), reason)
        self._marks = marks
        return found

    def _io_error(self, uuid: UUID) -> PowerReason:
        """Which I/O error. QEMU is not asked: one that hangs in a dead file system would keep the inventory waiting."""
        noted = self._host.events.io_errors.get(uuid)
        if noted is not None:
            return noted
        # It was paused before we began to listen.
        full = DiskSpace.of(self._host.layout.vms).free_mib < ALMOST_NOTHING_MIB
        return PowerReason.NO_SPACE if full else PowerReason.IO_ERROR


def _metadata(domain: libvirt.virDomain) -> Metadata | None:
    try:
        return Metadata.find(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, 0))
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_DOMAIN_METADATA):
            return None
        raise
