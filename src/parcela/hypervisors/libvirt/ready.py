"""Waiting for a guest to print its ready marker on the serial line."""

import asyncio
from pathlib import Path
from uuid import UUID

import libvirt

from parcela.hypervisors.errors import VmPausedError
from parcela.hypervisors.libvirt.context import HostContext, require_domain
from parcela.hypervisors.libvirt.power import OFF, current_power
from parcela.hypervisors.libvirt.reasons import current_fault
from parcela.hypervisors.spec import PowerState

POLL_S = 0.15
# Events say at once when a VM stops; this is for those that were lost.
STATE_POLL_S = 2.0
_READ_BYTES = 64 * 1024


class MarkerScan:
    """Looks for a marker in a growing file, reading every byte once."""

    def __init__(self, path: Path, marker: bytes, offset: int) -> None:
        """Take the file, what to look for, and where to begin (bytes)."""
        self._path = path
        self._marker = marker
        self._offset = offset
        self._tail = b""

    def found(self) -> bool:
        """Read what is new; True when the marker has come."""
        try:
            size = self._path.stat().st_size
        except OSError:
            return False
        if size < self._offset:
            # The log began anew: switched on again, or rotated by virtlogd.
            self._offset, self._tail = 0, b""
        if size == self._offset:
            return False
        with self._path.open("rb") as file:
            file.seek(self._offset)
            while chunk := file.read(_READ_BYTES):
                self._offset += len(chunk)
                text = self._tail + chunk
                if self._marker in text:
                    return True
                self._tail = text[-(len(self._marker) - 1) :] if len(self._marker) > 1 else b""
        return False


class ReadyActions:
    """``wait_ready`` of the driver."""

    _host: HostContext

    async def wait_ready(self, uuid: UUID, marker: str, *, timeout_s: float) -> bool:
        """See ``ReadySignals.wait_ready``."""
        host = self._host

        def is_off(connection: libvirt.virConnect) -> bool:
            domain = require_domain(connection, host.installation, uuid)
            power = current_power(domain)
            fault = current_fault(domain) if power is PowerState.PAUSED else None
            if fault is not None:
                raise VmPausedError(f"boot VM {uuid}", fault)
            return power in OFF

        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        with host.events.watching(uuid) as watch:
            path = host.layout.serial_log(uuid)
            offset = host.reboot_offset(uuid)
            scan = MarkerScan(path, marker.encode(), offset)
            ask_at_s = loop.time()
            while True:
                if loop.time() >= ask_at_s:
                    if await host.watch.run(f"ask for the state of VM {uuid}", is_off):
                        return False
                    ask_at_s = loop.time() + STATE_POLL_S
                if host.reboot_offset(uuid) != offset:
                    offset = host.reboot_offset(uuid)
                    scan = MarkerScan(path, marker.encode(), offset)
                if scan.found():
                    return True
                left_s = deadline_s - loop.time()
                if left_s <= 0:
                    return False
                if await watch.news(min(POLL_S, left_s)):
                    ask_at_s = loop.time()
