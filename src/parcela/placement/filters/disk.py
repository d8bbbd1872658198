"""Only hosts with enough disk space left, overcommit included."""

from parcela.placement.types import Filter, HostSnapshot, VmRequest


def reject(host: HostSnapshot, demand: VmRequest) -> str | None:
    """Reason against a host with too little disk space."""
    # Not host.disk_free_gib: a property costs as much as the rule, and this runs for every host in every decision.
    if not demand.disk_gib or demand.disk_gib + host.disk_used_gib <= host.disk_limit_gib:
        return None
    return f"{host.name} has {host.disk_free_gib} of {demand.disk_gib} GiB of disk free"


FILTER = Filter("disk", reject)
