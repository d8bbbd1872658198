"""Rows of segments and network cards: tags, MACs, the shared NAT segment."""

import secrets
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network
from uuid import UUID, uuid4, uuid5

from parcela.core.errors import conflict
from parcela.core.topology.addressing import nat_overlap
from parcela.core.topology.expand import PlannedVm, SlicePlan
from parcela.models import Nic, Segment, VirtualMachine
from parcela.repositories.uow import UnitOfWork

NAT_NAMESPACE = UUID("6f3a2a1e-6c1b-4f0e-9d2e-0b6a5d0c7a11")


async def new_macs(uow: UnitOfWork, count: int) -> list[str]:
    """MACs that no living VM has, with QEMU's prefix."""
    macs: list[str] = []
    while len(macs) < count:
        wanted = {f"52:54:00:{b[0]:02x}:{b[1]:02x}:{b[2]:02x}" for b in _random_triples(count - len(macs))}
        macs += sorted(wanted - await uow.segments.known_macs(sorted(wanted)) - set(macs))
    return macs


def _random_triples(count: int) -> Iterable[bytes]:
    return (secrets.token_bytes(3) for _ in range(count))


async def nat_segment(uow: UnitOfWork) -> Segment:
    """The one NAT segment of the installation; made with the first VM that needs it."""
    known = await uow.segments.nat()
    if known is not None:
        return known
    tag = (await uow.segments.free_tags(1))[0]
    known = await uow.segments.nat()  # others wait for tags until their rows are stored: it may be there by now
    if known is not None:
        return known
    # By installation: two of them may share a hypervisor, and libvirt's networks are known by UUID there.
    uuid = uuid5(NAT_NAMESPACE, await uow.installation())
    row = Segment(uuid=uuid, slice_id=None, name="outside", kind="nat", tag=tag, mtu=1500)
    row.created_at = uow.clock()
    return await uow.segments.add(row)


async def lay_segments(uow: UnitOfWork, slice_id: int, plan: SlicePlan) -> dict[str, Segment]:
    """Rows for the segments of a slice, by key of the plan."""
    tags = await uow.segments.free_tags(len(plan.segments))
    rows: dict[str, Segment] = {}
    for planned, tag in zip(plan.segments, tags, strict=True):
        rows[planned.key] = await uow.segments.add(
            Segment(
                uuid=uuid4(),
                slice_id=slice_id,
                name=planned.name,
                kind=planned.kind.value,
                tag=tag,
                mtu=planned.mtu,
                created_at=uow.clock(),
            )
        )
    return rows


async def plug(uow: UnitOfWork, vms: Sequence[tuple[VirtualMachine, PlannedVm]], segments: dict[str, Segment]) -> None:
    """Rows for the network cards of VMs."""
    macs = iter(await new_macs(uow, sum(len(planned.nics) for _, planned in vms)))
    public = any(nic.is_public for _, planned in vms for nic in planned.nics)
    nat = await nat_segment(uow) if public else None
    rows: list[Nic] = []
    for vm, planned in vms:
        for position, nic in enumerate(planned.nics):
            segment = nat if nic.is_public else segments.get(nic.segment or "")
            rows.append(
                Nic(
                    vm_id=vm.id,
                    position=position,
                    mac=next(macs),
                    segment_id=segment.id if segment else None,
                    end=nic.end,
                    is_public=nic.is_public,
                    address=nic.address,
                )
            )
    await uow.segments.add_nics(rows)


async def check_nat_overlap(uow: UnitOfWork, vm_ids: Sequence[int], nat_networks: Sequence[IPv4Network]) -> None:
    """Raise ``conflict`` when a card of a draft has an address of the NAT network.

    New templates cannot have one; a draft may be older than that rule, or than the ranges that are set now.
    """
    nics = [nic for nic, _segment in await uow.segments.nics_of(vm_ids)]
    public = any(nic.is_public for nic in nics)
    for nic in nics:
        what = nat_overlap(nic.address, nat_networks, public=public)
        if what is not None:
            raise conflict("overlaps_nat_network", f"A network card of this slice cannot be built: {what}")
