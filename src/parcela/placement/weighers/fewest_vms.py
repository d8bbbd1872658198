"""Prefers hosts with few VMs: the crash of a host then hurts few people."""

from parcela.placement.types import HostSnapshot, VmRequest, Weigher


def score(host: HostSnapshot, _demand: VmRequest) -> float:
    """1 for an empty host, towards 0 with every VM."""
    return 1.0 / (1 + host.vms)


WEIGHER = Weigher("fewest_vms", score, weight=0.5)
