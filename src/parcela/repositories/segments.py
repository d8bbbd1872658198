"""Layer-2 segments and network cards."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import and_, delete, func, not_, or_, select, update

from parcela.models import Counter, Nic, Segment, Slice, VirtualMachine
from parcela.repositories.base import Repository

MAX_TAG = 16_000_000


class SegmentRepository(Repository[Segment]):
    """Segments and NICs."""

    model = Segment
    noun = "segment"

    async def free_tags(self, count: int) -> list[int]:
        """The lowest tags not in use; other allocators wait until this unit of work ends."""
        statement = select(Counter).where(Counter.name == "segment_tags").with_for_update()
        await self._session.execute(statement)
        used = set((await self._session.scalars(select(Segment.tag).where(Segment.tag.is_not(None)))).all())
        free: list[int] = []
        tag = 0
        while len(free) < count:
            tag += 1
            if tag not in used:
                free.append(tag)
        return free

    async def nat(self) -> Segment | None:
        """The one NAT segment of the installation, or None before the first VM with public access."""
        return (await self._session.scalars(select(Segment).where(Segment.kind == "nat"))).one_or_none()

    async def nat_users(self, segment_id: int, host_id: int, *, undone_by: int | None = None) -> int:
        """How many living VMs of a host are plugged into a segment (NICs of deleted VMs are gone).

        VMs that the operation ``undone_by`` has taken off the host again, or never made, do not count.
        """
        statement = (
            select(func.count(Nic.id))
            .join(VirtualMachine, VirtualMachine.id == Nic.vm_id)
            .where(Nic.segment_id == segment_id, VirtualMachine.host_id == host_id)
        )
        if undone_by is not None:
            undone = and_(VirtualMachine.state == "defined", VirtualMachine.operation_id == undone_by)
            statement = statement.where(or_(not_(undone), VirtualMachine.operation_id.is_(None)))
        return int((await self._session.execute(statement)).scalar_one())

    async def nic_count(self, segment_id: int) -> int:
        """How many NICs of living VMs are plugged into a segment, on whatever host."""
        statement = select(func.count(Nic.id)).where(Nic.segment_id == segment_id)
        return int((await self._session.execute(statement)).scalar_one())

    async def of_slice(self, slice_id: int) -> list[Segment]:
        """Living segments of a slice."""
        statement = select(Segment).where(Segment.slice_id == slice_id, Segment.removed_at.is_(None))
        return list((await self._session.scalars(statement.order_by(Segment.id))).all())

    async def living_among(self, uuids: Sequence[UUID]) -> set[UUID]:
        """Those of the given segments that may exist on hosts: their slices are built, or being worked on."""
        unbuilt = ("draft", "error", "destroyed")
        statement = (
            select(Segment.uuid)
            .outerjoin(Slice, Slice.id == Segment.slice_id)
            .where(
                Segment.uuid.in_(uuids),
                Segment.removed_at.is_(None),
                or_(Segment.slice_id.is_(None), Slice.state.not_in(unbuilt), Slice.operation_id.is_not(None)),
            )
        )
        return set((await self._session.scalars(statement)).all())

    async def mark_removed(self, segment_id: int) -> None:
        """Give the tag back; nothing of the segment is left on any host."""
        await self._changed(update(Segment).where(Segment.id == segment_id).values(tag=None, removed_at=self._clock()))

    async def nics_of(self, vm_ids: Sequence[int]) -> list[tuple[Nic, Segment | None]]:
        """NICs of VMs in guest order, each with its segment."""
        statement = (
            select(Nic, Segment)
            .outerjoin(Segment, Segment.id == Nic.segment_id)
            .where(Nic.vm_id.in_(vm_ids))
            .order_by(Nic.vm_id, Nic.position)
        )
        return [(nic, segment) for nic, segment in await self._session.execute(statement)]

    async def known_macs(self, macs: Sequence[str]) -> set[str]:
        """Those of the given MACs that are taken."""
        return set((await self._session.scalars(select(Nic.mac).where(Nic.mac.in_(macs)))).all())

    async def remove_nics(self, vm_id: int) -> None:
        """Forget the NICs of a deleted VM; their MACs are free again."""
        await self._changed(delete(Nic).where(Nic.vm_id == vm_id))

    async def add_nics(self, nics: Sequence[Nic]) -> None:
        """Store NICs."""
        self._session.add_all(nics)
        await self._session.flush()  # a MAC race must object here

    async def leases(self, macs: Sequence[str]) -> dict[str, str | None]:
        """Known DHCP addresses by MAC, of those MACs that are ours."""
        statement = select(Nic.mac, Nic.leased_address).where(Nic.mac.in_(macs))
        return {row.mac: row.leased_address for row in await self._session.execute(statement)}

    async def set_lease(self, mac: str, address: str) -> bool:
        """Store an address learnt from DHCP; False when it was known."""
        statement = update(Nic).where(Nic.mac == mac, Nic.leased_address.is_distinct_from(address))
        return bool(await self._changed(statement.values(leased_address=address)))
