"""Why a VM is paused or off, in our words: what hypervisors tell beyond the bare state."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class PowerReason(StrEnum):
    """Reason of a power state. Pages translate it (``vm.reason.*``); programs read it as ``status_reason``."""

    NO_SPACE = "no_space"  # paused by QEMU: a write failed because the host's disk (or a quota) is full
    IO_ERROR = "io_error"  # paused by QEMU: a write failed for another reason
    WATCHDOG = "watchdog"  # paused by the guest's watchdog
    GUEST_CRASHED = "guest_crashed"  # paused because the guest's kernel crashed
    MIGRATION_FAILED = "migration_failed"  # paused half-way between two hosts
    HYPERVISOR_ERROR = "hypervisor_error"  # paused because a call of the hypervisor failed half-way
    BY_HAND = "by_hand"  # somebody did it on the host, past Parcela
    BY_GUEST = "by_guest"  # the guest switched itself off or went to sleep
    BUSY = "busy"  # a dump, snapshot, save or migration is under way on the host
    SAVED = "saved"  # off: its memory was saved on the host


FAULTS = frozenset(
    {
        PowerReason.NO_SPACE,
        PowerReason.IO_ERROR,
        PowerReason.WATCHDOG,
        PowerReason.GUEST_CRASHED,
        PowerReason.MIGRATION_FAILED,
        PowerReason.HYPERVISOR_ERROR,
    }
)
"""Nobody wanted these: the VM shows an error, and a guest that is paused so does not hear the power button."""
DISK_FAULTS = frozenset({PowerReason.NO_SPACE, PowerReason.IO_ERROR})
"""The guest tries its write again as soon as it goes on, and is paused again at once if nothing has changed."""
_LATER = "'resume' lets it go on where it stopped, 'stop' switches it off"
SENTENCES: Mapping[PowerReason, str] = MappingProxyType(
    {
        PowerReason.NO_SPACE: (
            f"QEMU paused it: the disk of its host is full. Nothing is lost. When space was freed there, {_LATER}."
        ),
        PowerReason.IO_ERROR: (
            "QEMU paused it: its disk could not be written on the host (an error of the disk, or a quota that is used "
            f"up). When that is mended, {_LATER}."
        ),
        PowerReason.WATCHDOG: f"It was paused by its watchdog: the guest had stopped to answer; {_LATER}.",
        PowerReason.GUEST_CRASHED: "It was paused because the guest's kernel crashed; 'reset' or 'stop' helps.",
        PowerReason.MIGRATION_FAILED: "It was paused half-way by a migration that failed; see the hypervisor's log.",
        PowerReason.HYPERVISOR_ERROR: f"It was paused by an error of the hypervisor; see its log; {_LATER}.",
        PowerReason.BY_HAND: "Somebody did it on the host, past Parcela.",
        PowerReason.BY_GUEST: "The guest did it by itself.",
        PowerReason.BUSY: "The host is making a dump, a snapshot or a copy of it.",
        PowerReason.SAVED: "Its memory was saved on the host, past Parcela; a start goes on from there.",
    }
)


def fault_of(reason: PowerReason | None) -> str:
    """Sentence for a reason that nobody wanted; "" for the others."""
    return SENTENCES[reason] if reason in FAULTS and reason is not None else ""
