"""Only hosts with enough memory left, overcommit included."""

from parcela.placement.types import Filter, HostSnapshot, VmRequest


def reject(host: HostSnapshot, demand: VmRequest) -> str | None:
    """Reason against a host with too little memory."""
    # Not host.memory_free_mib: a property costs as much as the rule, and this runs for every host in every decision.
    if not demand.memory_mib or demand.memory_mib + host.memory_used_mib <= host.memory_limit_mib:
        return None
    return f"{host.name} has {host.memory_free_mib} of {demand.memory_mib} MiB of memory free"


FILTER = Filter("memory", reject)
