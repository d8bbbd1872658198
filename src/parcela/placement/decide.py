"""The choice of hosts for the VMs of one slice."""

from collections.abc import Sequence

from parcela.placement.packing import pack
from parcela.placement.rules import BALANCED, best, is_alive, passes, rejection
from parcela.placement.shortage import find_missing
from parcela.placement.types import CROSS_HOST_SEGMENTS, Decision, HostSnapshot, VmRequest, Weigher


def decide(
    requests: Sequence[VmRequest],
    hosts: Sequence[HostSnapshot],
    *,
    spread: bool = False,
    weighers: Sequence[Weigher] = BALANCED,
) -> Decision:
    """Find a host for every VM, or for none.

    One host for all is preferred, because then every segment stays local. Several hosts are used only when ``spread``
    allows it, only when no single one fits, and only hosts that can join segments; then as few as can be found.
    The same arguments give the same decision, whatever the order of ``hosts``.

    Args:
        requests: the VMs of one slice, with unique keys.
        hosts: the hosts of one zone.
        spread: whether the slice may use several hosts.
        weighers: what to prefer among the single hosts that fit.

    Raises:
        ValueError: two requests have the same key.
    """
    if len({request.key for request in requests}) != len(requests):
        raise ValueError("two requests have the same key")
    if not requests:
        return Decision({})
    demand = total(requests)
    fitting = [host for host in hosts if passes(host, demand)]
    if fitting:
        chosen = best(fitting, demand, weighers)
        return Decision({request.key: chosen.id for request in requests})
    if spread:
        joined = [host for host in hosts if CROSS_HOST_SEGMENTS in host.capabilities and is_alive(host)]
        assignments = pack(requests, joined)
        if assignments is not None:
            return Decision(assignments)
    reasons = tuple(r for host in hosts if (r := rejection(host, demand)) is not None)
    return Decision({}, reasons, find_missing(requests, demand, hosts, spread=spread))


def total(requests: Sequence[VmRequest]) -> VmRequest:
    """All of them as one demand (key 0)."""
    return VmRequest(
        key=0,
        vcpus=sum(request.vcpus for request in requests),
        memory_mib=sum(request.memory_mib for request in requests),
        disk_gib=sum(request.disk_gib for request in requests),
        needs=frozenset[str]().union(*(request.needs for request in requests)),
    )
