"""Finds out what was lacking, after no place was found."""

from collections.abc import Sequence

from parcela.placement.rules import ALIVE, is_alive
from parcela.placement.types import CROSS_HOST_SEGMENTS, HostSnapshot, Lack, Missing, Room, VmRequest


def find_missing(
    requests: Sequence[VmRequest], demand: VmRequest, hosts: Sequence[HostSnapshot], *, spread: bool
) -> Missing:
    """Name the most telling reason: no host up, then a capability, then room.

    Args:
        requests: the VMs that found no place, at least one.
        demand: their sum.
        hosts: all hosts that were offered.
        spread: whether they might have gone to several hosts.
    """
    needed = Room(demand.vcpus, demand.memory_mib, demand.disk_gib)
    alive = [host for host in hosts if is_alive(host)]
    if not alive:
        return Missing(Lack.NO_HOST_UP, len(requests), needed, hosts=tuple(_why_not_up(host) for host in hosts))
    if not spread:
        return _on_one(requests, demand, alive)
    joined = [host for host in alive if CROSS_HOST_SEGMENTS in host.capabilities]
    return _on_many(requests, demand, alive, joined)


def _on_one(requests: Sequence[VmRequest], demand: VmRequest, alive: Sequence[HostSnapshot]) -> Missing:
    needed = Room(demand.vcpus, demand.memory_mib, demand.disk_gib)
    capable = [host for host in alive if demand.needs <= host.capabilities]
    if not capable:
        return Missing(Lack.CAPABILITY, len(requests), needed, capability=_lacking(demand, alive))
    host = _nearest(demand, capable)
    return Missing(Lack.ROOM, len(requests), needed, _free([host]), _short(demand, _free([host])), host.name)


def _on_many(
    requests: Sequence[VmRequest], demand: VmRequest, alive: Sequence[HostSnapshot], joined: Sequence[HostSnapshot]
) -> Missing:
    """The slice fits on no single host. Was it one VM, the cables between hosts, the sum, or the pieces?"""
    for request in sorted(requests, key=lambda r: (-r.memory_mib, -r.vcpus, -r.disk_gib, r.key)):
        if not any(_fits(request, host) for host in alive):
            return _on_one([request], request, alive)
    needed = Room(demand.vcpus, demand.memory_mib, demand.disk_gib)
    if len(joined) < 2:
        one = _on_one(requests, demand, alive)
        enough_in_sum = not _short(demand, _free(alive)).listed()
        if len(alive) > 1 and enough_in_sum and one.lack is Lack.ROOM:
            return Missing(Lack.CAPABILITY, len(requests), needed, capability=CROSS_HOST_SEGMENTS)
        return one
    for request in requests:
        if not any(_fits(request, host) for host in joined):
            return _on_one([request], request, joined)
    short = _short(demand, _free(joined))
    lack = Lack.ROOM if short.listed() else Lack.FRAGMENTED
    return Missing(lack, len(requests), needed, _free(joined), short)


def _why_not_up(host: HostSnapshot) -> str:
    return next(reason for rule in ALIVE if (reason := rule.reject(host, VmRequest(0, 0, 0, 0))))


def _lacking(demand: VmRequest, hosts: Sequence[HostSnapshot]) -> str:
    """What the host that comes nearest cannot do."""
    nearest = min(hosts, key=lambda host: (len(demand.needs - host.capabilities), host.id))
    return ", ".join(sorted(demand.needs - nearest.capabilities))


def _fits(request: VmRequest, host: HostSnapshot) -> bool:
    return request.needs <= host.capabilities and not _short(request, _free([host])).listed()


def _free(hosts: Sequence[HostSnapshot]) -> Room:
    return Room(
        sum(host.vcpus_free for host in hosts),
        sum(host.memory_free_mib for host in hosts),
        sum(host.disk_free_gib for host in hosts),
    )


def _short(demand: VmRequest, free: Room) -> Room:
    return Room(
        max(0, demand.vcpus - free.vcpus),
        max(0, demand.memory_mib - free.memory_mib),
        max(0, demand.disk_gib - free.disk_gib),
    )


def _nearest(demand: VmRequest, hosts: Sequence[HostSnapshot]) -> HostSnapshot:
    """The host that lacks the smallest share of the demand."""

    def order(host: HostSnapshot) -> tuple[float, int]:
        short = _short(demand, _free([host]))
        pairs = (
            (short.vcpus, demand.vcpus),
            (short.memory_mib, demand.memory_mib),
            (short.disk_gib, demand.disk_gib),
        )
        return sum(lacking / wanted for lacking, wanted in pairs if wanted), host.id

    return min(hosts, key=order)
