"""Never a host that says that no VM can start on it: what is placed there would fail at once, and be undone."""

from parcela.placement.types import Filter, HostSnapshot, VmRequest


def reject(host: HostSnapshot, _demand: VmRequest) -> str | None:
    """Reason against a host that can start no VM. What exactly it is, with paths, is for administrators."""
    return f"{host.name} can start no VM (the log and 'parcela doctor' say why)" if host.obstacle else None


FILTER = Filter("obstacle", reject)
