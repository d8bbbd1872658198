"""Only hosts that are ``up`` take new VMs; draining ones and those in maintenance keep what they have."""

from parcela.placement.types import Filter, HostSnapshot, VmRequest


def reject(host: HostSnapshot, _demand: VmRequest) -> str | None:
    """Reason against a host that is not up."""
    return None if host.state == "up" else f"{host.name} is {host.state}"


FILTER = Filter("state", reject)
