"""Never a host whose machine has open corrective maintenance, whatever its state says: something is broken there."""

from parcela.placement.types import Filter, HostSnapshot, VmRequest


def reject(host: HostSnapshot, _demand: VmRequest) -> str | None:
    """Reason against a host that is being repaired."""
    return f"{host.name} has open corrective maintenance" if host.under_repair else None


FILTER = Filter("repair", reject)
