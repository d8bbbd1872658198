"""libvirt's events -> DriverEvent, on the asyncio loop."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID

import libvirt

from parcela.core.power import PowerReason
from parcela.core.tasks import is_set_within
from parcela.hypervisors.spec import DriverEvent, VmEventKind

log = logging.getLogger(__name__)

# The ACPI reboot is libvirt's own shutdown and reset: one of them gives a handful of events.
REBOOT_DEBOUNCE_S = 1.0

_LIFECYCLE = {
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: VmEventKind.REMOVED,
    libvirt.VIR_DOMAIN_EVENT_STARTED: VmEventKind.STARTED,
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: VmEventKind.PAUSED,
    libvirt.VIR_DOMAIN_EVENT_RESUMED: VmEventKind.RESUMED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: VmEventKind.STOPPED,
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: VmEventKind.PAUSED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED: VmEventKind.CRASHED,
}
_CRASH_DETAILS = frozenset({libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED})


def lifecycle_kind(event: int, detail: int) -> VmEventKind | None:
    """What a lifecycle event means to us; None for those that mean nothing (defined, shutting down)."""
    if event == libvirt.VIR_DOMAIN_EVENT_STOPPED and detail in _CRASH_DETAILS:
        return VmEventKind.CRASHED
    return _LIFECYCLE.get(event)


class VmWatch:
    """Wakes one waiter on every event of one VM."""

    def __init__(self) -> None:
        """Start without news."""
        self._event = asyncio.Event()

    def notify(self) -> None:
        """There is news."""
        self._event.set()

    async def news(self, timeout_s: float) -> bool:
        """Wait for news; False after ``timeout_s`` seconds without any."""
        if not await is_set_within(self._event, max(timeout_s, 0.0)):
            return False
        self._event.clear()
        return True


class EventHub:
    """Takes events from libvirt's thread and hands them to subscribers on the loop."""

    def __init__(self, is_ours: Callable[[UUID], bool], on_reboot: Callable[[UUID], None]) -> None:
        """Take who tells our VMs from strangers', and who is told of reboots before the subscribers are."""
        self._is_ours = is_ours
        self._on_reboot = on_reboot
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscribers: dict[object, Callable[[DriverEvent], None]] = {}
        self._watches: dict[UUID, list[VmWatch]] = {}
        self._last_reboot_s: dict[UUID, float] = {}
        self.io_errors: dict[UUID, PowerReason] = {}
        """Why QEMU paused which VMs: libvirt's state says only that there was an I/O error."""

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the loop events are handed to."""
        self._loop = loop

    def register(self, connection: libvirt.virConnect) -> None:
        """Subscribe to a new connection's events; the registrations end with the connection."""
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, None)
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._reboot, None)
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, self._io_error, None)

    def subscribe(self, callback: Callable[[DriverEvent], None]) -> Callable[[], None]:
        """See ``VmEvents.subscribe``."""
        key = object()
        self._subscribers[key] = callback

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)

        return unsubscribe

    @contextlib.contextmanager
    def watching(self, uuid: UUID) -> Iterator[VmWatch]:
        """Watch one VM for the length of the block."""
        watch = VmWatch()
        self._watches.setdefault(uuid, []).append(watch)
        try:
            yield watch
        finally:
            watches = self._watches[uuid]
            watches.remove(watch)
            if not watches:
                del self._watches[uuid]

    @contextlib.contextmanager
    def rebooting(self, uuid: UUID) -> Iterator[asyncio.Event]:
        """Give an event that is set when the VM reboots within the block."""
        rebooted = asyncio.Event()

        def note(event: DriverEvent) -> None:
            if event.vm_uuid == uuid and event.kind is VmEventKind.REBOOTED:
                rebooted.set()

        unsubscribe = self.subscribe(note)
        try:
            yield rebooted
        finally:
            unsubscribe()

    def host_changed(self, up: bool) -> None:
        """Tell that the connection broke or came back; on the loop."""
        self._publish(VmEventKind.HOST_BACK if up else VmEventKind.HOST_LOST, None)
        for watches in self._watches.values():
            for watch in watches:
                watch.notify()

    # The next three run in libvirt's event thread, where no call into libvirt is allowed.

    def _lifecycle(
        self, _connection: libvirt.virConnect, domain: libvirt.virDomain, event: int, detail: int, _opaque: object
    ) -> None:
        kind = lifecycle_kind(event, detail)
        if kind is not None:
            self._hand_over(kind, UUID(domain.UUIDString()))

    def _reboot(self, _connection: libvirt.virConnect, domain: libvirt.virDomain, _opaque: object) -> None:
        self._hand_over(VmEventKind.REBOOTED, UUID(domain.UUIDString()))

    def _io_error(
        self,
        _connection: libvirt.virConnect,
        domain: libvirt.virDomain,
        _path: str,
        _alias: str,
        action: int,
        reason: str,
        _opaque: object,
    ) -> None:
        if action == libvirt.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE:
            why = PowerReason.NO_SPACE if reason == "enospc" else PowerReason.IO_ERROR
            self._hand_over(VmEventKind.PAUSED, UUID(domain.UUIDString()), why)

    def _hand_over(self, kind: VmEventKind, uuid: UUID, why: PowerReason | None = None) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._vm_event, kind, uuid, why)

    def _vm_event(self, kind: VmEventKind, uuid: UUID, why: PowerReason | None = None) -> None:
        if not self._is_ours(uuid):
            return
        if why is not None:
            if self.io_errors.get(uuid) is not why:  # each of the writes that were under way gives an event
                log.warning("VM %s: QEMU has paused it: %s", uuid, why.value)
            self.io_errors[uuid] = why
        elif kind is not VmEventKind.PAUSED:
            self.io_errors.pop(uuid, None)
        if kind is VmEventKind.REBOOTED:
            now_s = asyncio.get_running_loop().time()
            if now_s - self._last_reboot_s.get(uuid, float("-inf")) < REBOOT_DEBOUNCE_S:
                return
            self._last_reboot_s[uuid] = now_s
            self._on_reboot(uuid)
        if kind is VmEventKind.REMOVED:
            self._last_reboot_s.pop(uuid, None)
        for watch in self._watches.get(uuid, ()):
            watch.notify()
        self._publish(kind, uuid)

    def _publish(self, kind: VmEventKind, uuid: UUID | None) -> None:
        event = DriverEvent(kind, uuid, datetime.now(UTC))
        for callback in list(self._subscribers.values()):
            try:
                callback(event)
            except Exception:  # one bad subscriber must not cost the others their event
                log.exception("a subscriber failed on %s", kind)
