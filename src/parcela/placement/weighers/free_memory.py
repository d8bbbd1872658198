"""Prefers hosts that keep a large share of their memory free: memory is what runs out first, and swapping hurts all."""

from parcela.placement.types import HostSnapshot, VmRequest, Weigher


def score(host: HostSnapshot, demand: VmRequest) -> float:
    """Share of the memory limit that stays free, 0 to 1."""
    limit = host.memory_limit_mib
    return max(0.0, 1.0 - (host.memory_used_mib + demand.memory_mib) / limit) if limit > 0 else 0.0


WEIGHER = Weigher("free_memory", score)
