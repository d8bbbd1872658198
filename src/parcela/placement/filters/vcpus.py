"""Only hosts with enough virtual processors left, overcommit included."""

from parcela.placement.types import Filter, HostSnapshot, VmRequest


def reject(host: HostSnapshot, demand: VmRequest) -> str | None:
    """Reason against a host with too little virtual processors."""
    # Not host.vcpus_free: a property costs as much as the rule, and this runs for every host in every decision.
    if not demand.vcpus or demand.vcpus + host.vcpus_used <= host.vcpus_limit:
        return None
    return f"{host.name} has {host.vcpus_free} of {demand.vcpus} vCPUs free"


FILTER = Filter("vcpus", reject)
