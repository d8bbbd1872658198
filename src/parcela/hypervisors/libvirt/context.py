"""What the parts of one driver share."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID
from weakref import WeakValueDictionary

import libvirt

from parcela.core.private_files import write_private
from parcela.hypervisors.errors import FatalDriverError
from parcela.hypervisors.libvirt.accel import Accelerator
from parcela.hypervisors.libvirt.bridges import Bridges
from parcela.hypervisors.libvirt.connection import LibvirtConnection
from parcela.hypervisors.libvirt.disks import DiskStore
from parcela.hypervisors.libvirt.events import EventHub
from parcela.hypervisors.libvirt.failures import is_code
from parcela.hypervisors.libvirt.layout import Layout
from parcela.hypervisors.libvirt.qemuuser import QemuUser, first_closed, parse_qemu_user
from parcela.hypervisors.libvirt.taps import Taps
from parcela.hypervisors.libvirt.xml.metadata import NAMESPACE, Metadata
from parcela.hypervisors.spec import DriverEvent, VmEventKind

log = logging.getLogger(__name__)

# Inventory and events have a connection and threads of their own: libvirtd serves only five calls of a connection at a
# time, so that a few calls stuck in hung guests would otherwise blind us for all the others.
WATCH_THREADS = 2
CONSOLE_THREADS = 4


class HostContext:
    """One host of one installation.

    Attributes:
        name: of the host, for messages.
        installation: id that marks what is ours.
        is_session: ``qemu:///session`` of an unprivileged user: no bridges, no NAT network, no cgroups.
        calls: connection for calls that change things.
        watch: connection for events and inventory.
        console_threads: for short calls of consoles: what people type waits for nothing else.
        known: VMs that were seen to be ours, a cache for the filter of events.
        cpu_limits_refused: a start has failed because of the CPU limit.
        qemu_user: who QEMU runs as, once it was asked for.
    """

    def __init__(
        self, name: str, installation: str, uri: str, layout: Layout, accelerator: Accelerator, *, max_calls: int
    ) -> None:
        """Put the parts together; nothing is opened yet."""
        self.name = name
        self.installation = installation
        self.is_session = is_session_uri(uri)
        self.calls = LibvirtConnection(name, uri, threads=max_calls, name="calls")
        self.watch = LibvirtConnection(name, uri, threads=WATCH_THREADS, name="watch")
        self.layout = layout
        self.store = DiskStore(layout, installation, name)
        self.bridges = Bridges(installation)
        self.taps = Taps(installation)
        self.accelerator = accelerator
        self.events = EventHub(self.is_known, self.note_reboot)
        self.known: set[UUID] = set()
        self.console_threads: ThreadPoolExecutor | None = None
        self.cpu_limits_refused = False
        self.qemu_user: QemuUser | None = None
        self._files_closed = False
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self.events.subscribe(self._forget_removed)
        self.watch.watch(self.events.register, self.events.host_changed)

    async def open(self) -> None:
        """Connect; see ``Lifetime.open``."""
        self.events.attach(asyncio.get_running_loop())
        self.store.open()
        if self.console_threads is None:
            self.console_threads = ThreadPoolExecutor(CONSOLE_THREADS, thread_name_prefix="libvirt-consoles")
        if self.is_session:
            await self._close_files(None)
        await asyncio.gather(self.calls.open(), self.watch.open())

    async def aclose(self) -> None:
        """Disconnect and end all threads."""
        await asyncio.gather(self.calls.aclose(), self.watch.aclose())
        self.store.close()
        if self.console_threads is not None:
            self.console_threads.shutdown(wait=False)
            self.console_threads = None

    async def find_qemu_user(self) -> QemuUser | None:
        """Who QEMU runs as; None in session mode, where it is us. Asked for once: it is libvirtd's configuration."""
        if self.qemu_user is None and not self.is_session:
            user = await self.calls.run(
                "ask for QEMU's user", lambda connection: parse_qemu_user(connection.getCapabilities())
            )
            await self._close_files(user)
            self.qemu_user = user
        return self.qemu_user

    async def _close_files(self, user: QemuUser | None) -> None:
        """Correct the modes of files that an older version made; once, as soon as it is known who must read them."""
        if not self._files_closed:
            await self.store.run("close files to other users", lambda: self.layout.close_to_strangers(user))
            self._files_closed = True

    async def closed_folder(self) -> Path | None:
        """The first folder on the way to the disks that QEMU's user may not enter, as far as that can be told."""
        user = await self.find_qemu_user()
        if user is None:
            return None
        return await self.store.run("look at the folders", lambda: first_closed(self.layout.vms, user))

    @asynccontextmanager
    async def alone(self, uuid: UUID) -> AsyncIterator[None]:
        """Hold off other changes of the same VM: a repeat may come while the call it repeats is still under way."""
        lock = self._locks.setdefault(uuid, asyncio.Lock())
        async with lock:
            yield

    def _forget_removed(self, event: DriverEvent) -> None:
        if event.kind is VmEventKind.REMOVED and event.vm_uuid is not None:
            self.known.discard(event.vm_uuid)

    def is_known(self, uuid: UUID) -> bool:
        """Whether a VM is ours, as far as can be told without asking libvirt."""
        if uuid in self.known:
            return True
        owner = self.layout.owner(uuid)
        if owner is None or owner.installation != self.installation:
            return False
        self.known.add(uuid)
        return True

    def note_reboot(self, uuid: UUID) -> None:
        """Remember how long the serial log is now: what was printed before does not tell that the guest is ready."""
        try:
            offset = self.layout.serial_log(uuid).stat().st_size
            write_private(self.layout.reboot_offset(uuid), str(offset).encode())
        except OSError as error:
            log.warning("VM %s: cannot note its reboot: %s", uuid, error)

    def forget_reboot(self, uuid: UUID) -> None:
        """The serial log begins anew: the VM is switched on."""
        with suppress(OSError):
            self.layout.reboot_offset(uuid).unlink(missing_ok=True)

    def reboot_offset(self, uuid: UUID) -> int:
        """Where in the serial log the present run of the guest begins (bytes)."""
        # Never cached: another process may have switched the VM on meanwhile, which starts the log anew.
        try:
            return int(self.layout.reboot_offset(uuid).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0


def is_session_uri(uri: str) -> bool:
    """Whether it is ``qemu:///session`` or ``qemu+unix:///session?socket=...``."""
    return urlsplit(uri).path.rstrip("/").endswith("/session")


def look_up(connection: libvirt.virConnect, installation: str, uuid: UUID) -> tuple[libvirt.virDomain | None, bool]:
    """The domain with our id, or None, and whether it is ours and not a stranger's."""
    try:
        domain = connection.lookupByUUIDString(str(uuid))
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_DOMAIN):
            return None, False
        raise
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, 0)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_DOMAIN):
            return None, False
        if is_code(error, libvirt.VIR_ERR_NO_DOMAIN_METADATA):
            return domain, False
        raise
    metadata = Metadata.find(text)
    return domain, metadata is not None and metadata.installation == installation


def find_domain(connection: libvirt.virConnect, installation: str, uuid: UUID) -> libvirt.virDomain | None:
    """Our domain, or None when there is none or it is a stranger's."""
    domain, is_ours = look_up(connection, installation, uuid)
    return domain if is_ours else None


def require_domain(connection: libvirt.virConnect, installation: str, uuid: UUID) -> libvirt.virDomain:
    """Our domain; FatalDriverError when there is none."""
    domain = find_domain(connection, installation, uuid)
    if domain is None:
        raise FatalDriverError(f"VM {uuid} does not exist on this host")
    return domain
