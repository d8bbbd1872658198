"""libvirt's reasons of a domain's state -> ours: the one place that knows its numbers."""

import libvirt

from parcela.core.power import FAULTS, PowerReason
from parcela.hypervisors.libvirt.failures import is_code

R = PowerReason
# VIR_DOMAIN_PAUSED_API_ERROR came with libvirt 9.2.
_PAUSED_API_ERROR = 14
_PAUSED = {
    libvirt.VIR_DOMAIN_PAUSED_USER: R.BY_HAND,
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION: R.BUSY,
    libvirt.VIR_DOMAIN_PAUSED_SAVE: R.BUSY,
    libvirt.VIR_DOMAIN_PAUSED_DUMP: R.BUSY,
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: R.IO_ERROR,
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: R.WATCHDOG,
    libvirt.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT: R.BY_HAND,
    libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN: R.BUSY,
    libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT: R.BUSY,
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: R.GUEST_CRASHED,
    libvirt.VIR_DOMAIN_PAUSED_STARTING_UP: R.BUSY,
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY: R.BUSY,
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: R.MIGRATION_FAILED,
    _PAUSED_API_ERROR: R.HYPERVISOR_ERROR,
}
_OFF = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: R.BY_GUEST,
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: R.BY_HAND,
    libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: R.BY_HAND,
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: R.SAVED,
    libvirt.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT: R.BY_HAND,
}


def power_reason(state: int, reason: int) -> PowerReason | None:
    """Put libvirt's reason in our words; an I/O error is IO_ERROR here, whatever its cause (see ``disk_fault``)."""
    if state == libvirt.VIR_DOMAIN_PAUSED:
        return _PAUSED.get(reason)
    if state == libvirt.VIR_DOMAIN_PMSUSPENDED:
        return R.BY_GUEST
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return R.GUEST_CRASHED
    return _OFF.get(reason) if state == libvirt.VIR_DOMAIN_SHUTOFF else None


def disk_fault(domain: libvirt.virDomain) -> PowerReason:
    """Which I/O error a domain is paused for; asks its QEMU, so it blocks."""
    try:
        errors = domain.diskErrors(0)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
            return R.IO_ERROR  # it was switched off at the same moment
        raise
    return R.NO_SPACE if libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE in errors.values() else R.IO_ERROR


def current_fault(domain: libvirt.virDomain) -> PowerReason | None:
    """The reason why a domain is paused, when QEMU did that because of a fault; blocks."""
    state, number = domain.state()
    if state != libvirt.VIR_DOMAIN_PAUSED:
        return None
    reason = power_reason(state, number)
    if reason is R.IO_ERROR:
        return disk_fault(domain)
    return reason if reason in FAULTS else None
