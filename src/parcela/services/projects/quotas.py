"""Counting against quotas whatever is reserved on hosts.

The row of the quota is locked first and rows of hosts after it, always (see ``repositories/quotas.py``).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from parcela.core.errors import ErrorKind, ParcelaError, Problem
from parcela.core.permissions import Permission
from parcela.core.settings import Settings
from parcela.models import Quota, VirtualMachine
from parcela.models.projects import RESOURCES
from parcela.repositories.hosts import Claim
from parcela.repositories.quotas import Amount, Limits
from parcela.repositories.uow import UnitOfWork
from parcela.services.access import Caller

NO_LIMITS: Limits = MappingProxyType(dict.fromkeys(RESOURCES))
SHOWN = {"vcpus": "vCPUs", "memory_mib": "MiB of memory", "disk_gib": "GiB of disk", "vms": "VMs", "slices": "slices"}


def default_limits(settings: Settings) -> Limits:
    """Ceilings of people for whom nobody has set any; 0 in the settings is none."""
    return {name: getattr(settings, f"quota_{name}") or None for name in RESOURCES}


def limits_for(settings: Settings, caller: Caller, project_id: int | None) -> Limits | None:
    """The defaults that count for something the caller makes; None when nothing stops them.

    Whoever may set ceilings could lift their own as well.
    """
    if caller.can(Permission.QUOTA_WRITE):
        return None
    return default_limits(settings) if project_id is None else NO_LIMITS


async def charge(uow: UnitOfWork, vms: Sequence[VirtualMachine], defaults: Limits | None) -> int:
    """Count VMs of one owner, or one project, that are about to be reserved.

    Args:
        uow: unit of work of the request.
        vms: rows without a reservation.
        defaults: see ``limits_for``.

    Returns:
        Id of the quota that their reservations must name.

    Raises:
        ParcelaError: kind ``no_capacity``, code ``quota_exceeded``, with a problem per resource.
    """
    first = vms[0]
    if first.project_id is not None:
        row = await uow.quotas.lock_or_add(project_id=first.project_id)
    else:
        row = await uow.quotas.lock_or_add(user_id=first.owner_id)
    fresh = {vm.slice_id for vm in vms if vm.slice_id is not None}
    amount = Amount(
        vcpus=sum(vm.cores for vm in vms),
        memory_mib=sum(vm.memory_mib for vm in vms),
        disk_gib=sum(vm.disk_gib for vm in vms),
        vms=len(vms),
        slices=len([slice_id for slice_id in fresh if not await uow.quotas.slice_is_counted(slice_id)]),
    )
    await _take(uow, row, amount, defaults)
    return row.id


async def release(uow: UnitOfWork, vm_id: int) -> bool:
    """Give a VM's reservation back, to its host and to its quota; False when it has none."""
    kept = await uow.hosts.reservation_of(vm_id)
    if kept is None:
        return False
    quota_id = kept.quota_id
    amount = {"vcpus": kept.vcpus, "memory_mib": kept.memory_mib, "disk_gib": kept.disk_gib}
    if quota_id is not None:
        await uow.quotas.lock(quota_id)
    if not await uow.hosts.release(vm_id):
        return False
    if quota_id is not None:
        vm = await uow.vms.get(vm_id)
        last = vm.slice_id is not None and not await uow.quotas.slice_is_counted(vm.slice_id, besides_vm=vm_id)
        await uow.quotas.give_back(quota_id, Amount(**amount, vms=1, slices=int(last)))
    return True


async def resize(
    uow: UnitOfWork, vm_id: int, host_id: int, sizes: Mapping[str, int], defaults: Limits | None = None
) -> bool:
    """Reserve another size for a VM on its host; False when the host has no room (roll back then).

    Args:
        uow: unit of work.
        vm_id: which VM.
        host_id: where it is.
        sizes: ``vcpus``, ``memory_mib`` and ``disk_gib``.
        defaults: see ``limits_for``; None to count it whatever the ceilings say.

    Raises:
        ParcelaError: as ``charge``.
    """
    kept = await uow.hosts.reservation_of(vm_id)
    quota_id = kept.quota_id if kept is not None else None
    if kept is not None and quota_id is not None:
        before = {"vcpus": kept.vcpus, "memory_mib": kept.memory_mib, "disk_gib": kept.disk_gib}
        row = await uow.quotas.lock(quota_id)
        await _take(uow, row, Amount(**{name: sizes[name] - before[name] for name in before}), defaults)
    await uow.hosts.release(vm_id)
    return await uow.hosts.try_reserve(host_id, [Claim(vm_id, **sizes, quota_id=quota_id)])


async def _take(uow: UnitOfWork, row: Quota, amount: Amount, defaults: Limits | None) -> None:
    if await uow.quotas.take(row.id, amount, defaults):
        return
    row = await uow.quotas.lock(row.id)
    problems = []
    for name, more in amount.by_resource().items():
        own, used = getattr(row, f"max_{name}"), getattr(row, f"used_{name}")
        most = own if own is not None else (defaults or NO_LIMITS)[name]
        if most is not None and more > 0 and used + more > most:
            text = f"At most {most} {SHOWN[name]}: {used} in use, {more} more asked for."
            problems.append(Problem(f"quota.{name}", text, "quota_exceeded"))
    whose = "your quota" if row.project_id is None else "the quota of the project"
    sentence = f"This goes beyond {whose}. " + " ".join(problem.what for problem in problems)
    raise ParcelaError(ErrorKind.NO_CAPACITY, "quota_exceeded", sentence, problems=problems)
