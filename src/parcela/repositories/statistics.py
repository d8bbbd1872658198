"""Numbers of the whole installation, in a handful of grouped queries."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.core.clock import Clock
from parcela.core.disks import MIB
from parcela.core.lifecycle import VmState
from parcela.models import DeliveryState, Host, Operation, VirtualMachine, WebhookDelivery
from parcela.repositories.operations import ACTIVE, MAY_RUN

Numbers = Mapping[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Numbers by their labels.

    Attributes:
        operations: (kind, state) of those that have not ended.
        queued: (queue,): ``operations`` nobody holds, ``webhooks`` deliveries that wait.
        vms: (state,), without deleted ones.
        host_capacity, host_used: (host, ``vcpus`` | ``memory_mib`` | ``disk_gib``).
        host_up: (host,): 1 or 0.
        host_disk_free: (host,): bytes, of hosts that tell.
        host_disk_low: (host,): 1 when it takes no VM because its disk is short of space.
    """

    operations: Numbers
    queued: Numbers
    vms: Numbers
    host_capacity: Numbers
    host_used: Numbers
    host_up: Numbers
    host_disk_free: Numbers
    host_disk_low: Numbers


class StatisticsRepository:
    """Counts."""

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        """Work in a session of the unit of work."""
        self._session = session
        self._clock = clock

    async def read(self) -> Statistics:
        """Count everything once."""
        hosts = (await self._session.scalars(select(Host))).all()
        return Statistics(
            operations=await self._operations(),
            queued={("operations",): await self._unheld(), ("webhooks",): await self._deliveries()},
            vms=await self._vms(),
            host_capacity={
                (host.name, resource): limit
                for host in hosts
                for resource, limit in (
                    ("vcpus", host.vcpus_limit),
                    ("memory_mib", host.memory_limit_mib),
                    ("disk_gib", host.disk_limit_gib),
                )
            },
            host_used={
                (host.name, resource): used
                for host in hosts
                for resource, used in (
                    ("vcpus", host.used_vcpus),
                    ("memory_mib", host.used_memory_mib),
                    ("disk_gib", host.used_disk_gib),
                )
            },
            host_up={(host.name,): float(host.reachable and host.state == "up") for host in hosts},
            host_disk_free={
                (host.name,): float(free_mib * MIB)
                for host in hosts
                if (free_mib := host.facts.get("disk_free_mib")) is not None
            },
            host_disk_low={(host.name,): float(bool(host.facts.get("disk_shortage"))) for host in hosts},
        )

    async def _operations(self) -> Numbers:
        statement = (
            select(Operation.kind, Operation.state, func.count())
            .where(Operation.state.in_(ACTIVE))
            .group_by(Operation.kind, Operation.state)
        )
        return {(kind, state): number for kind, state, number in await self._session.execute(statement)}

    async def _unheld(self) -> int:
        now = self._clock()
        free = or_(Operation.lease_expires_at.is_(None), Operation.lease_expires_at < now)
        due = or_(Operation.retry_at.is_(None), Operation.retry_at <= now)
        statement = select(func.count()).select_from(Operation).where(MAY_RUN, free, due)
        return int((await self._session.execute(statement)).scalar_one())

    async def _deliveries(self) -> int:
        waiting = WebhookDelivery.state == DeliveryState.PENDING.value
        statement = select(func.count()).select_from(WebhookDelivery).where(waiting)
        return int((await self._session.execute(statement)).scalar_one())

    async def _vms(self) -> Numbers:
        statement = (
            select(VirtualMachine.state, func.count())
            .where(VirtualMachine.state != VmState.DELETED.value)
            .group_by(VirtualMachine.state)
        )
        return {(state,): number for state, number in await self._session.execute(statement)}
