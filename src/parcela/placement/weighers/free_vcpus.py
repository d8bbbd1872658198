"""Prefers hosts that keep a large share of their processors free: guests boot faster there."""

from parcela.placement.types import HostSnapshot, VmRequest, Weigher


def score(host: HostSnapshot, demand: VmRequest) -> float:
    """Share of the vCPU limit that stays free, 0 to 1."""
    limit = host.vcpus_limit
    return max(0.0, 1.0 - (host.vcpus_used + demand.vcpus) / limit) if limit > 0 else 0.0


WEIGHER = Weigher("free_vcpus", score)
