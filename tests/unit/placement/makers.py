"""Makers of hosts and requests, and the one judge of decisions."""

from collections.abc import Sequence

from parcela.placement.types import CROSS_HOST_SEGMENTS, Decision, HostSnapshot, VmRequest

CROSS = frozenset({CROSS_HOST_SEGMENTS})


def host(
    host_id: int,
    vcpus: int = 8,
    memory_mib: int = 8192,
    disk_gib: int = 100,
    *,
    used: tuple[int, int, int] = (0, 0, 0),
    state: str = "up",
    reachable: bool = True,
    capabilities: frozenset[str] = CROSS,
    vms: int = 0,
    obstacle: bool = False,
) -> HostSnapshot:
    return HostSnapshot(
        host_id,
        f"h{host_id}",
        1,
        state,
        reachable,
        vcpus,
        memory_mib,
        disk_gib,
        *used,
        capabilities=capabilities,
        vms=vms,
        obstacle=obstacle,
    )


def vm(key: int, vcpus: int = 1, memory_mib: int = 1024, disk_gib: int = 2, *needs: str) -> VmRequest:
    return VmRequest(key, vcpus, memory_mib, disk_gib, frozenset(needs))


def assert_sound(decision: Decision, requests: Sequence[VmRequest], hosts: Sequence[HostSnapshot]) -> None:
    """All or nothing, and no rule is broken by all the VMs of a host together."""
    if decision.missing is not None:
        assert not decision.assignments
        return
    assert not decision.rejections
    assert set(decision.assignments) == {request.key for request in requests}
    chosen = {one.id: one for one in hosts if one.id in set(decision.assignments.values())}
    assert set(chosen) == set(decision.assignments.values())
    for one in chosen.values():
        mine = [request for request in requests if decision.assignments[request.key] == one.id]
        assert one.state == "up"
        assert one.reachable
        assert not one.obstacle
        assert all(request.needs <= one.capabilities for request in mine)
        assert _fits(sum(r.vcpus for r in mine), one.vcpus_used, one.vcpus_limit)
        assert _fits(sum(r.memory_mib for r in mine), one.memory_used_mib, one.memory_limit_mib)
        assert _fits(sum(r.disk_gib for r in mine), one.disk_used_gib, one.disk_limit_gib)
        assert len(chosen) == 1 or CROSS_HOST_SEGMENTS in one.capabilities


def _fits(wanted: int, used: int, limit: int) -> bool:
    return wanted == 0 or used + wanted <= limit
