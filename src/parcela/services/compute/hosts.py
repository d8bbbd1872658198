"""Hosts: the hypervisors, what they have and how much of it may be promised."""

from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from parcela.core.errors import Problem, conflict, invalid
from parcela.core.lifecycle import HostState
from parcela.core.permissions import Permission
from parcela.models import Host
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.rules import check_fields
from parcela.services.inventory.machine_hosts import bind, lock_for_binding, refuse_up_while_maintained

INVALID = "host_invalid"
HostRow = dict[str, Any]
"""Columns of a host with ``zone`` (name), ``provider``, ``machine_id`` and ``machine_code`` (of the machine it is)."""
# capacity, its ratio, their product, what of it is reserved
DIMENSIONS = (
    ("vcpus", "cpu_overcommit", "vcpus_limit", "used_vcpus"),
    ("memory_mib", "memory_overcommit", "memory_limit_mib", "used_memory_mib"),
    ("disk_gib", "disk_overcommit", "disk_limit_gib", "used_disk_gib"),
)


def capacity_limit(capacity: int, ratio: float) -> int:
    """How much of a capacity may be reserved: ``floor(capacity * ratio)``.

    In decimal: 100 * 0.29 is 28.999999999999996 in binary, and people who write 0.29 mean 29.
    """
    return int((Decimal(capacity) * Decimal(str(ratio))).to_integral_value(ROUND_FLOOR))


class HostService:
    """Reads with ``host:read``, writes with ``host:write``."""

    async def page(
        self,
        uow: ReadUnitOfWork,
        caller: Caller,
        request: PageRequest,
        *,
        zone_id: int | None = None,
        state: HostState | None = None,
    ) -> Page:
        """Hosts, perhaps only those of a zone or state."""
        caller.require(Permission.HOST_READ)
        return await uow.hosts.page(request, zone_id=zone_id, state=state)

    async def get(self, uow: ReadUnitOfWork, caller: Caller, host_id: int) -> HostRow:
        """One host."""
        caller.require(Permission.HOST_READ)
        return await uow.hosts.detail(host_id)

    async def create(self, uow: UnitOfWork, caller: Caller, fields: dict[str, Any]) -> HostRow:
        """Add a host.

        Args:
            uow: where to store it.
            caller: holds ``host:write``.
            fields: name, zone_id, vcpus, memory_mib, disk_gib; optional are state (up) and the overcommit ratios
                cpu_overcommit (8.0), memory_overcommit (1.0) and disk_overcommit (4.0), and machine_id: the machine of
                the inventory that it is.

        Raises:
            ParcelaError: ``conflict`` ``host_exists`` when the name is taken; ``invalid`` ``unknown_zone``.
        """
        caller.require(Permission.HOST_WRITE)
        check_fields(Host, INVALID, fields)
        if await uow.zones.get_or_none(fields["zone_id"]) is None:
            text = f"There is no zone {fields['zone_id']}."
            raise invalid("unknown_zone", text, Problem("zone_id", text, "unknown_zone"))
        defaults = {"cpu_overcommit": 8.0, "memory_overcommit": 1.0, "disk_overcommit": 4.0}
        columns = {name: value for name, value in fields.items() if name != "machine_id"}
        machine_id = fields.get("machine_id")
        await lock_for_binding(uow, None, machine_id)
        host = Host(**{**defaults, **columns}, facts={}, created_at=uow.clock())
        _set_limits(host)
        await uow.hosts.add(host)
        await bind(uow, caller, host.id, machine_id)
        uow.add_event("host.created", actor_id=caller.user_id, data={"id": host.id, "name": host.name})
        return await uow.hosts.detail(host.id)

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        host_id: int,
        changes: dict[str, Any],
        check: Callable[[HostRow], None] = lambda _: None,
    ) -> HostRow:
        """Change state, capacity, ratios or the machine that it is (None: none); ``check`` sees the locked row first.

        Name and zone stay: the driver and the VMs on the host are found by them.

        Raises:
            ParcelaError: ``conflict`` ``capacity_in_use`` when less would be left than is reserved,
                ``host_in_maintenance`` when it is to be up while its machine is worked on.
        """
        caller.require(Permission.HOST_WRITE)
        if "machine_id" in changes:
            await lock_for_binding(uow, host_id, changes["machine_id"])
        host = await uow.hosts.lock(host_id)
        check(await uow.hosts.detail(host_id))
        check_fields(Host, INVALID, changes)
        before = host.state
        if "machine_id" in changes:
            await bind(uow, caller, host_id, changes["machine_id"])
        for field, value in changes.items():
            # A state that is only sent back is no wish: the machine may have just changed it.
            if field != "machine_id" and (field, value) != ("state", before):
                setattr(host, field, value)
        _set_limits(host)
        _refuse_too_little(host)
        if "state" in changes and host.state == HostState.UP.value != before:
            await refuse_up_while_maintained(uow, host)
        await uow.flush()  # the answer below is read from the row
        data = {"id": host_id, "name": host.name, "state": host.state, "state_before": before}
        uow.add_event("host.updated", actor_id=caller.user_id, data=data)
        return await uow.hosts.detail(host_id)

    async def delete(
        self, uow: UnitOfWork, caller: Caller, host_id: int, check: Callable[[HostRow], None] = lambda _: None
    ) -> None:
        """Remove a host without VMs.

        Raises:
            ParcelaError: ``conflict`` ``host_in_use``, with the VMs on it.
        """
        caller.require(Permission.HOST_WRITE)
        host = await uow.hosts.lock(host_id)
        check(await uow.hosts.detail(host_id))
        problems = [
            Problem(f"vms[{vm_id}]", f"VM {name} is on it or has room reserved there.", "in_use")
            for vm_id, name in await uow.hosts.vms_on(host_id)
        ]
        if problems:
            text = f"There are VMs on the host {host.name}; move or delete them first."
            raise conflict("host_in_use", text, *problems)
        name = host.name
        await uow.hosts.forget_deleted_vms(host_id)
        await uow.hosts.delete(host)
        uow.add_event("host.deleted", actor_id=caller.user_id, data={"id": host_id, "name": name})


def _set_limits(host: Host) -> None:
    for capacity, ratio, limit, _ in DIMENSIONS:
        setattr(host, limit, capacity_limit(getattr(host, capacity), getattr(host, ratio)))


def _refuse_too_little(host: Host) -> None:
    problems = []
    for capacity, _, limit, used in DIMENSIONS:
        left, taken = getattr(host, limit), getattr(host, used)
        if left < taken:
            what = f"{taken} are reserved for VMs; capacity times overcommit would be {left}."
            problems.append(Problem(capacity, what, "capacity_in_use"))
    if problems:
        raise conflict("capacity_in_use", f"More of the host {host.name} is in use than would be left.", *problems)
