"""Only hosts that answered lately: a reservation on a silent one would make the whole deployment wait."""

from parcela.placement.types import Filter, HostSnapshot, VmRequest


def reject(host: HostSnapshot, _demand: VmRequest) -> str | None:
    """Reason against a host that does not answer."""
    return None if host.reachable else f"{host.name} does not answer"


FILTER = Filter("reachable", reject)
