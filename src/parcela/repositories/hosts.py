"""Hosts and the capacity reserved on them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select, update

from parcela.core.errors import not_found
from parcela.core.lifecycle import HostState, VmState
from parcela.models import Host, HostMachine, Machine, Reservation, VirtualMachine, Zone
from parcela.models.derived import shown
from parcela.repositories.base import Repository
from parcela.repositories.paging import Page, PageRequest, fetch_page


@dataclass(frozen=True, slots=True)
class Claim:
    """Capacity wanted for one VM."""

    vm_id: int
    vcpus: int
    memory_mib: int
    disk_gib: int
    quota_id: int | None = None


class HostRepository(Repository[Host]):
    """Hosts; every change of ``used_*`` is one conditional UPDATE."""

    model = Host
    noun = "host"

    async def page(self, request: PageRequest, *, zone_id: int | None = None, state: str | None = None) -> Page:
        """Hosts with the name and provider of their zone, and the machine they are."""
        statement = _with_zone()
        if zone_id is not None:
            statement = statement.where(Host.zone_id == zone_id)
        if state is not None:
            statement = statement.where(Host.state == state)
        sortable: dict[str, Any] = {"name": Host.name, "created_at": Host.created_at}
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=Host.__table__.c.id)

    async def detail(self, host_id: int) -> dict[str, Any]:
        """One host with the name and provider of its zone, as ``page`` gives it; ``not_found`` when there is none."""
        statement = _with_zone().where(Host.id == host_id)
        row = (await self._session.execute(statement)).mappings().one_or_none()
        if row is None:
            raise not_found(self.noun, host_id)
        return dict(row)

    async def vms_on(self, host_id: int) -> list[tuple[int, str]]:
        """(id, name) of VMs that are on a host or have capacity reserved there, at most 100."""
        reserved = select(Reservation.vm_id).where(Reservation.host_id == host_id)
        placed = and_(VirtualMachine.host_id == host_id, VirtualMachine.state != VmState.DELETED.value)
        statement = select(VirtualMachine.id, VirtualMachine.name).where(or_(placed, VirtualMachine.id.in_(reserved)))
        rows = await self._session.execute(statement.order_by(VirtualMachine.id).limit(100))
        return [(row_id, name) for row_id, name in rows]

    async def forget_deleted_vms(self, host_id: int) -> None:
        """Let deleted VMs no longer say on which host they were, so that the host can be removed."""
        statement = update(VirtualMachine).where(
            VirtualMachine.host_id == host_id, VirtualMachine.state == VmState.DELETED.value
        )
        await self._changed(statement.values(host_id=None))

    async def by_name(self, name: str) -> Host | None:
        """The host with this name, or None."""
        return (await self._session.scalars(select(Host).where(Host.name == name))).one_or_none()

    async def in_zone(self, zone_id: int) -> list[tuple[Host, int]]:
        """Hosts of a zone, fresh, each with its number of reservations."""
        count = (
            select(func.count(Reservation.id)).where(Reservation.host_id == Host.id).correlate(Host).scalar_subquery()
        )
        statement = select(Host, count).where(Host.zone_id == zone_id).order_by(Host.id)
        rows = await self._session.execute(statement, execution_options={"populate_existing": True})
        return [(host, vms) for host, vms in rows]

    async def with_provider(self) -> list[tuple[Host, str]]:
        """All hosts with the provider of their zone."""
        rows = await self._session.execute(select(Host, Zone.provider).join(Zone).order_by(Host.id))
        return [(host, provider) for host, provider in rows]

    async def provider_of(self, host_id: int) -> tuple[str, str]:
        """(provider, host name) of a host."""
        statement = select(Zone.provider, Host.name).join(Host).where(Host.id == host_id)
        provider, name = (await self._session.execute(statement)).one()
        return provider, name

    async def providers_of(self, host_ids: Collection[int]) -> dict[int, tuple[Host, str]]:
        """(host, provider) by id; ``not_found`` when a host is missing."""
        rows = await self._session.execute(select(Host, Zone.provider).join(Zone).where(Host.id.in_(host_ids)))
        found = {host.id: (host, provider) for host, provider in rows}
        for host_id in host_ids:
            if host_id not in found:
                raise not_found(self.noun, host_id)
        return found

    async def try_reserve(self, host_id: int, claims: Sequence[Claim], *, only_up: bool = False) -> bool:
        """Reserve all claims on a host, or none of them; ``only_up``: none on one that takes no new VMs any more.

        The UPDATE compares and raises the sums in one statement, so two units of work can never both take the last
        room, whatever the database's isolation.
        """
        vcpus = sum(claim.vcpus for claim in claims)
        memory_mib = sum(claim.memory_mib for claim in claims)
        disk_gib = sum(claim.disk_gib for claim in claims)
        fits: tuple[ColumnElement[bool], ...] = (
            Host.id == host_id,
            Host.used_vcpus + vcpus <= Host.vcpus_limit,
            Host.used_memory_mib + memory_mib <= Host.memory_limit_mib,
            Host.used_disk_gib + disk_gib <= Host.disk_limit_gib,
        )
        if only_up:
            fits = (*fits, Host.state == HostState.UP.value)
        raised = {
            "used_vcpus": Host.used_vcpus + vcpus,
            "used_memory_mib": Host.used_memory_mib + memory_mib,
            "used_disk_gib": Host.used_disk_gib + disk_gib,
        }
        if not await self._changed(update(Host).where(*fits).values(**raised)):
            return False
        now = self._clock()
        self._session.add_all(
            Reservation(
                vm_id=claim.vm_id,
                host_id=host_id,
                vcpus=claim.vcpus,
                memory_mib=claim.memory_mib,
                disk_gib=claim.disk_gib,
                quota_id=claim.quota_id,
                created_at=now,
            )
            for claim in claims
        )
        await self._session.flush()  # a second reservation of the same VM must object here
        return True

    async def release(self, vm_id: int) -> bool:
        """Give a VM's reservation back; False when it has none."""
        kept = (await self._session.scalars(select(Reservation).where(Reservation.vm_id == vm_id))).one_or_none()
        if kept is None:
            return False
        removed = await self._changed(delete(Reservation).where(Reservation.id == kept.id))
        self._session.expunge(kept)
        if not removed:
            return False
        lowered = {
            "used_vcpus": Host.used_vcpus - kept.vcpus,
            "used_memory_mib": Host.used_memory_mib - kept.memory_mib,
            "used_disk_gib": Host.used_disk_gib - kept.disk_gib,
        }
        await self._changed(update(Host).where(Host.id == kept.host_id).values(**lowered))
        return True

    async def reservation_of(self, vm_id: int) -> Reservation | None:
        """The reservation of a VM, or None."""
        return (await self._session.scalars(select(Reservation).where(Reservation.vm_id == vm_id))).one_or_none()

    async def leaked_reservations(self, limit: int) -> list[int]:
        """At most ``limit`` VMs that hold capacity though they are on no host and no operation works on them."""
        statement = (
            select(Reservation.vm_id)
            .join(VirtualMachine, VirtualMachine.id == Reservation.vm_id)
            .where(VirtualMachine.operation_id.is_(None), VirtualMachine.state.in_(("defined", "deleted")))
            .limit(limit)
        )
        return list((await self._session.scalars(statement)).all())

    async def note_seen(self, host_id: int, *, reachable: bool, at: datetime | None, error: str = "") -> None:
        """Store what the liveness check found."""
        values: dict[str, Any] = {"reachable": reachable, "last_error": error[:500]}
        if at is not None:
            values["last_seen_at"] = at
        await self._changed(update(Host).where(Host.id == host_id).values(**values))


def _with_zone() -> Select[Any]:
    machine = (Machine.id.label("machine_id"), Machine.code.label("machine_code"))
    return (
        select(*shown(Host), Zone.name.label("zone"), Zone.provider, *machine)
        .join(Zone, Zone.id == Host.zone_id)
        .join(HostMachine, HostMachine.host_id == Host.id, isouter=True)
        .join(Machine, Machine.id == HostMachine.machine_id, isouter=True)
    )
