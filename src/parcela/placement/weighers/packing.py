"""Prefers hosts that would be nearly full: keeps others empty for large slices and for maintenance."""

from parcela.placement.types import HostSnapshot, VmRequest, Weigher


def score(host: HostSnapshot, demand: VmRequest) -> float:
    """Share of memory and vCPU limits that is used afterwards, the larger of the two, 0 to 1."""
    memory = _used(host.memory_limit_mib, host.memory_free_mib - demand.memory_mib)
    return max(memory, _used(host.vcpus_limit, host.vcpus_free - demand.vcpus))


def _used(limit: int, free: int) -> float:
    return 1.0 - free / limit if limit > 0 else 1.0


WEIGHER = Weigher("packing", score)
