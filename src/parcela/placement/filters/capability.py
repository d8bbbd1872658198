"""Only hosts that can do all that the VMs need."""

from parcela.placement.types import Filter, HostSnapshot, VmRequest


def reject(host: HostSnapshot, demand: VmRequest) -> str | None:
    """Reason against a host that cannot do something."""
    if demand.needs <= host.capabilities:
        return None
    return f"{host.name} has no {', '.join(sorted(demand.needs - host.capabilities))}"


FILTER = Filter("capability", reject)
