"""Host liveness.

Repairs: what rows say of a host's reachability, capabilities, hypervisor and free disk space; the capacity of a host
whose capacity was never known.

Must not touch: what the administrator set (state, overcommit, capacity once it is known); VMs.
"""

import math
from collections.abc import Mapping

from parcela.core.disks import LowLimit
from parcela.hypervisors.driver import Driver
from parcela.hypervisors.errors import DriverError
from parcela.hypervisors.spec import HostFacts
from parcela.models import Host
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.workers.reconcilers.base import DrivenHosts, log

MEASURED = frozenset({"disk_free_mib", "disk_shortage"})
"""Facts that change all the time: they are stored when the others are, and at least twice a minute."""


def facts_row(facts: HostFacts, shortage: str = "") -> dict[str, object]:
    """Facts as they are stored with a host; ``shortage``: why its VM folder is short of space, "" when it is not."""
    return {
        "hypervisor": facts.hypervisor,
        "acceleration": facts.acceleration.value,
        "acceleration_reason": facts.acceleration_reason,
        "capabilities": sorted(capability.value for capability in facts.capabilities),
        "vcpus": facts.vcpus,
        "memory_mib": facts.memory_mib,
        "disk_gib": facts.disk_gib,
        "obstacle": facts.obstacle,
        "disk_free_mib": facts.space.free_mib if facts.space else None,
        "disk_shortage": shortage,
    }


class HostLiveness:
    """See the module."""

    name = "host_liveness"

    def __init__(self, uows: UnitOfWorkFactory, hosts: DrivenHosts, disk_low: LowLimit) -> None:
        """Take the collaborators, and when a host's VM folder counts as short of space."""
        self._disk_low = disk_low
        self._uows = uows
        self._hosts = hosts
        self._told: dict[int, str] = {}  # what the log has of a host's obstacle, since this process began

    async def run(self) -> int:
        """Ask every host once."""
        changes = 0
        async for host, driver in self._hosts.each():
            changes += await self._host(host, driver)
        return changes

    async def _host(self, host: Host, driver: Driver) -> int:
        facts: HostFacts | None = None
        error = ""
        try:
            facts = await driver.probe()
        except DriverError as exc:
            error = exc.message
        else:
            self._tell_obstacle(host, facts.obstacle)
        shortage = self._shortage(host, facts)
        turned = bool(shortage) != bool(host.facts.get("disk_shortage"))
        changed = host.reachable != (facts is not None)
        known = facts is None or (not turned and _lasting(facts_row(facts)) == _lasting(host.facts))
        recent = host.last_seen_at is not None and (self._uows.clock() - host.last_seen_at).total_seconds() < 30
        if not changed and known and (recent or facts is None):
            return 0
        async with self._uows.write() as uow:
            row = await uow.hosts.lock(host.id)
            if facts is not None:
                row.last_seen_at = uow.clock()
                _take_facts(row, facts, shortage)
            row.reachable, row.last_error = facts is not None, error[:500]
            if changed:
                kind = "host.reachable" if facts is not None else "host.unreachable"
                uow.add_event(kind, data={"host": host.name, "host_id": host.id, "error": error})
            if turned:
                data = {"host": host.name, "host_id": host.id, "reason": shortage}
                uow.add_event("host.disk_low" if shortage else "host.disk_ok", data=data)
            await uow.commit()
        if turned and shortage:
            log.warning("host.disk_low", host=host.name, reason=shortage)
        elif turned:
            log.info("host.disk_ok", host=host.name)
        return int(changed) + int(turned)

    def _shortage(self, host: Host, facts: HostFacts | None) -> str:
        """Why its VM folder is short of space now; what is known stays while it does not answer."""
        before = str(host.facts.get("disk_shortage", ""))
        if facts is None:
            return before
        return facts.space.shortage(self._disk_low, was_low=bool(before)) if facts.space else ""

    def _tell_obstacle(self, host: Host, obstacle: str) -> None:
        """Once after every start, and when it changes."""
        if obstacle == self._told.get(host.id, ""):
            return
        self._told[host.id] = obstacle
        if obstacle:
            log.error("host.obstacle", host=host.name, reason=obstacle)
        else:
            log.info("host.obstacle_gone", host=host.name)


def _lasting(row: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in MEASURED}


def _take_facts(row: Host, facts: HostFacts, shortage: str) -> None:
    if not row.facts:
        row.vcpus, row.memory_mib, row.disk_gib = facts.vcpus, facts.memory_mib, facts.disk_gib
        row.vcpus_limit = math.floor(facts.vcpus * row.cpu_overcommit)
        row.memory_limit_mib = math.floor(facts.memory_mib * row.memory_overcommit)
        row.disk_limit_gib = math.floor(facts.disk_gib * row.disk_overcommit)
    row.facts = facts_row(facts, shortage)
