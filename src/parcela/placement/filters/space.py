"""Never a host whose disk is nearly full: disks are promised several times over, and fill up later."""

from parcela.placement.types import Filter, HostSnapshot, VmRequest


def reject(host: HostSnapshot, _demand: VmRequest) -> str | None:
    """Reason against a host that is short of disk space, whatever is asked for."""
    return f"{host.name} is short of disk space ({host.disk_shortage})" if host.disk_shortage else None


FILTER = Filter("space", reject)
