"""Choosing hosts and reserving their capacity, in the unit of work of the request."""

from collections.abc import Mapping, Sequence

from parcela.core.errors import ErrorKind, ParcelaError, Problem, conflict, invalid
from parcela.models import Host, VirtualMachine, Zone
from parcela.placement.decide import decide
from parcela.placement.types import HostSnapshot, VmRequest
from parcela.repositories.hosts import Claim
from parcela.repositories.quotas import Limits
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.projects.quotas import charge

RACES = 5


async def resolve_zone(uow: ReadUnitOfWork, name: str | None) -> Zone:
    """The zone with this name, or the first one there is."""
    if name is not None:
        zone = await uow.zones.by_name(name)
        if zone is None:
            text = f"There is no zone '{name}'."
            raise invalid("unknown_zone", text, Problem("body.zone", text, "unknown_zone"))
        return zone
    zones = await uow.zones.all()
    if not zones:
        raise conflict("no_zone", "There is no zone yet; an administrator has to make one.")
    return zones[0]


async def hinted_zone(uow: ReadUnitOfWork, hint: str | None) -> str | None:
    """The name of the zone that a hint of the older API ``cloud`` means: a name in any case, an id, or ``zone<id>``.

    A hint that means none is none: that API's clients offer zones that need not be there.
    """
    wanted = (hint or "").strip().casefold()
    zones = await uow.zones.all() if wanted else []
    by_name = next((zone.name for zone in zones if zone.name.casefold() == wanted), None)
    return by_name or next((zone.name for zone in zones if wanted in {str(zone.id), f"zone{zone.id}"}), None)


def snapshot(host: Host, vms: int, *, under_repair: bool) -> HostSnapshot:
    """What placement needs to know of a host."""
    return HostSnapshot(
        id=host.id,
        name=host.name,
        zone_id=host.zone_id,
        state=host.state,
        reachable=host.reachable,
        vcpus_limit=host.vcpus_limit,
        memory_limit_mib=host.memory_limit_mib,
        disk_limit_gib=host.disk_limit_gib,
        vcpus_used=host.used_vcpus,
        memory_used_mib=host.used_memory_mib,
        disk_used_gib=host.used_disk_gib,
        capabilities=frozenset(host.facts.get("capabilities", ())),
        vms=vms,
        under_repair=under_repair,
        obstacle=bool(host.facts.get("obstacle")),
        disk_shortage=str(host.facts.get("disk_shortage", "")),
    )


async def place(
    uow: UnitOfWork,
    zone_id: int,
    vms: Sequence[VirtualMachine],
    needs: Mapping[int, frozenset[str]],
    limits: Limits | None = None,
) -> dict[int, int]:
    """Choose a host for every VM and reserve its capacity: all of them, or none.

    Args:
        uow: unit of work of the request.
        zone_id: where.
        vms: rows without a host.
        needs: capabilities a VM's host must have, by VM id.
        limits: ceilings where the quota of their owner or project has none; None to place them whatever it says.

    Returns:
        Host id by VM id; the rows' ``host_id`` are set.

    Raises:
        ParcelaError: kind ``no_capacity``, saying what was missing; code ``quota_exceeded`` when it was the quota.
    """
    quota_id = await charge(uow, vms, limits)
    requests = [VmRequest(vm.id, vm.cores, vm.memory_mib, vm.disk_gib, needs.get(vm.id, frozenset())) for vm in vms]
    for _ in range(RACES):
        rows, broken = await uow.hosts.in_zone(zone_id), await uow.machine_hosts.under_repair(zone_id)
        hosts = [snapshot(host, count, under_repair=host.id in broken) for host, count in rows]
        decision = decide(requests, hosts, spread=True)
        if decision.missing is not None:
            sentence = decision.missing.explain()
            dropped = [Problem(f"host {r.host_name}", r.reason, r.filter_name) for r in decision.rejections]
            raise ParcelaError(ErrorKind.NO_CAPACITY, "no_capacity", sentence, problems=dropped[:50])
        if await _reserve_all(uow, vms, decision.assignments, quota_id):
            for vm in vms:
                await uow.vms.update_fields([vm.id], host_id=decision.assignments[vm.id])
            return dict(decision.assignments)
    raise ParcelaError(
        ErrorKind.NO_CAPACITY, "no_capacity", "Others were faster at the last free capacity.", retry_after_s=1
    )


async def _reserve_all(
    uow: UnitOfWork, vms: Sequence[VirtualMachine], assignments: Mapping[int, int], quota_id: int
) -> bool:
    """Reserve per host, in the order of host ids (so that two requests cannot wait for each other)."""
    reserved: list[VirtualMachine] = []
    for host_id in sorted(set(assignments.values())):
        mine = [vm for vm in vms if assignments[vm.id] == host_id]
        claims = [Claim(vm.id, vm.cores, vm.memory_mib, vm.disk_gib, quota_id) for vm in mine]
        if not await uow.hosts.try_reserve(host_id, claims, only_up=True):
            for vm in reserved:
                await uow.hosts.release(vm.id)  # the quota stays taken: the next attempt is for the same VMs
            return False
        reserved += mine
    return True
