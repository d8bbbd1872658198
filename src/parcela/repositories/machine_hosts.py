"""Which machine a host is, what is open on it, and the VMs that are in the way."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import and_, delete, exists, or_, select, update

from parcela.core.lifecycle import HostState, VmState
from parcela.core.machines import MachineStatus, MaintenanceKind
from parcela.models import Host, HostMachine, Machine, MaintenancePlan, OpenMaintenance, VirtualMachine
from parcela.repositories.base import Repository


class MachineHostRepository(Repository[HostMachine]):
    """Bindings of hosts to machines; the key is the host."""

    model = HostMachine
    noun = "binding of host"

    async def of_machine(self, machine_id: int) -> HostMachine | None:
        """The binding of a machine, or None."""
        statement = select(HostMachine).where(HostMachine.machine_id == machine_id)
        return (await self._session.scalars(statement)).one_or_none()

    async def machines_of(self, host_ids: list[int]) -> dict[int, tuple[int, str]]:
        """(id, code) of the machine, by host; hosts without one are left out."""
        statement = select(HostMachine.host_id, Machine.id, Machine.code).join(Machine)
        rows = await self._session.execute(statement.where(HostMachine.host_id.in_(host_ids)))
        return {host_id: (machine_id, code) for host_id, machine_id, code in rows}

    async def unsettled(self, today: date) -> list[int]:
        """Machines whose host is not as their maintenance wants it.

        ``services/inventory/machine_hosts.py`` has the rule.
        """
        machine_id = HostMachine.machine_id
        opened = exists().where(OpenMaintenance.machine_id == machine_id)
        begun = exists().where(OpenMaintenance.machine_id == machine_id, OpenMaintenance.begun_at.is_not(None))
        come = or_(MaintenancePlan.drain_on.is_(None), MaintenancePlan.drain_on <= today)
        rests = or_(Machine.archived_at.is_not(None), Machine.status == MachineStatus.RETIRED.value)
        at_rest = exists().where(Machine.id == machine_id, rests)
        planned = exists().where(MaintenancePlan.machine_id == machine_id, MaintenancePlan.active, come) & ~at_rest
        taken = exists().where(
            VirtualMachine.host_id == HostMachine.host_id, VirtualMachine.state != VmState.DELETED.value
        )
        wanted, drained = or_(opened, planned), HostMachine.drained_at.is_not(None)
        wrong = or_(
            and_(wanted, ~drained, Host.state == HostState.UP.value),
            and_(wanted, drained, Host.state == HostState.DRAINING.value, or_(begun, ~taken)),
            and_(~wanted, drained),
        )
        statement = select(machine_id).join(Host, Host.id == HostMachine.host_id).where(wrong)
        return list((await self._session.scalars(statement.order_by(machine_id))).all())

    async def under_repair(self, zone_id: int) -> set[int]:
        """Hosts of a zone whose machine has open corrective maintenance."""
        statement = (
            select(HostMachine.host_id)
            .join(Host, Host.id == HostMachine.host_id)
            .join(OpenMaintenance, OpenMaintenance.machine_id == HostMachine.machine_id)
            .where(Host.zone_id == zone_id, OpenMaintenance.kind == MaintenanceKind.CORRECTIVE.value)
        )
        return set((await self._session.scalars(statement)).all())

    async def vms_in_the_way(self, host_id: int) -> list[dict[str, Any]]:
        """id, name, state and owner_id of the VMs on a host."""
        columns = (VirtualMachine.id, VirtualMachine.name, VirtualMachine.state, VirtualMachine.owner_id)
        statement = select(*columns).where(
            VirtualMachine.host_id == host_id, VirtualMachine.state != VmState.DELETED.value
        )
        rows = (await self._session.execute(statement.order_by(VirtualMachine.id))).mappings()
        return [{str(name): value for name, value in row.items()} for row in rows]


class OpenMaintenanceRepository(Repository[OpenMaintenance]):
    """Maintenance that is not done yet."""

    model = OpenMaintenance
    noun = "open maintenance"

    async def find(self, record_id: str) -> OpenMaintenance | None:
        """The row of a record, or None."""
        return (
            await self._session.scalars(select(OpenMaintenance).where(OpenMaintenance.record_id == record_id))
        ).one_or_none()

    async def of_machine(self, machine_id: int) -> list[OpenMaintenance]:
        """What is open on a machine, the oldest first."""
        statement = select(OpenMaintenance).where(OpenMaintenance.machine_id == machine_id)
        order = (OpenMaintenance.opened_at, OpenMaintenance.record_id)
        return list((await self._session.scalars(statement.order_by(*order))).all())

    async def of_plan(self, plan_id: int) -> str | None:
        """The record that a plan has open, or None."""
        statement = select(OpenMaintenance.record_id).where(OpenMaintenance.plan_id == plan_id).limit(1)
        return (await self._session.scalars(statement)).one_or_none()

    async def close(self, record_id: str) -> None:
        """It is done, or gone."""
        await self._changed(delete(OpenMaintenance).where(OpenMaintenance.record_id == record_id))

    async def begin(self, record_id: str, at: datetime) -> None:
        """The work begins."""
        statement = update(OpenMaintenance).where(OpenMaintenance.record_id == record_id)
        await self._changed(statement.values(begun_at=at))
