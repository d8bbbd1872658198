"""The driver for libvirt and QEMU on the machine it runs on."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import libvirt

from parcela.core.disks import GIB_MIB, DiskSpace
from parcela.hypervisors.libvirt.accel import Accelerator
from parcela.hypervisors.libvirt.consoles import ConsoleActions
from parcela.hypervisors.libvirt.context import HostContext, is_session_uri
from parcela.hypervisors.libvirt.copies import CopyActions
from parcela.hypervisors.libvirt.cpulimits import cpu_limits_work
from parcela.hypervisors.libvirt.inventory import InventoryActions
from parcela.hypervisors.libvirt.layout import Layout
from parcela.hypervisors.libvirt.natguard import NatPort, Reach
from parcela.hypervisors.libvirt.power import PowerActions
from parcela.hypervisors.libvirt.ready import ReadyActions
from parcela.hypervisors.libvirt.segments import SegmentActions
from parcela.hypervisors.libvirt.vms import VmActions
from parcela.hypervisors.libvirt.xml.metadata import Metadata
from parcela.hypervisors.spec import Capability, DriverEvent, HostFacts, ImageSpec

DEFAULT_NAT_PREFIXES = ("10.231.0.0/20", "10.231.16.0/20", "172.27.224.0/20", "192.168.224.0/20")
_ALWAYS = frozenset({Capability.NAT, Capability.SERIAL_CONSOLE, Capability.VNC_CONSOLE})


class LibvirtDriver(
    VmActions, SegmentActions, PowerActions, InventoryActions, ReadyActions, ConsoleActions, CopyActions
):
    """Driver + Lifetime + VmEvents + ReadySignals + SerialConsoles + VncConsoles over libvirt.

    Each group of methods lives in a module of its own; all share one ``HostContext``. Make it within the asyncio loop
    that uses it.
    """

    def __init__(  # noqa: PLR0913 - called by name from the composition roots
        self,
        host_name: str,
        installation: str,
        uri: str,
        state_dir: Path,
        *,
        acceleration: str = "auto",
        probe_kernel: tuple[str, str] | None = None,
        nat_prefixes: Sequence[str] = DEFAULT_NAT_PREFIXES,
        nat_blocked: Sequence[str] = (),
        nat_allowed: Sequence[str] = (),
        max_calls: int = 4,
    ) -> None:
        """Describe the host; nothing is opened yet.

        Args:
            host_name: for messages.
            installation: id that marks what is ours; no colon.
            uri: ``qemu:///system`` (root) or ``qemu:///session``.
            state_dir: folder for images and disks; for ``qemu:///system`` QEMU's user must be able to reach it.
            acceleration: ``auto``, ``kvm`` or ``tcg``.
            probe_kernel: paths of the (kernel, initrd) with which ``auto`` tries KVM.
            nat_prefixes: address ranges for the NAT segment; the first that collides with no route is taken.
            nat_blocked: IPv4 prefixes that VMs on the NAT segment may not reach, e.g. the management network.
            nat_allowed: IPv4 prefixes inside the networks of the host that they may reach all the same.
            max_calls: how many blocking calls may run at a time, fewer than libvirtd's ``max_client_requests`` (5):
                from a connection with so many calls it reads nothing, not even answers to its keep-alive questions,
                and closes it when calls take long.
        """
        if ":" in installation or not installation:
            raise ValueError("an installation id is not empty and holds no colon")
        layout = Layout(Path(state_dir))
        accelerator = Accelerator(
            acceleration, probe_kernel, layout.state_dir / "acceleration.json", switches_user=not is_session_uri(uri)
        )
        self._host = HostContext(host_name, installation, uri, layout, accelerator, max_calls=max_calls)
        self._nat_prefixes = tuple(nat_prefixes)
        self._reach = Reach(tuple(nat_blocked), tuple(nat_allowed))
        self._firewall_lock = asyncio.Lock()
        self._nat_lock = asyncio.Lock()
        self._firewall_checked_s = float("-inf")
        self._loaded_rules = ""
        self._nat_ports: Sequence[NatPort] = ()
        self._dhcp_knows = False
        self._marks: dict[tuple[UUID, str], Metadata | None] = {}

    async def open(self) -> None:
        """See ``Lifetime.open``."""
        await self._host.open()

    async def aclose(self) -> None:
        """See ``Lifetime.aclose``."""
        await self._host.aclose()

    def subscribe(self, callback: Callable[[DriverEvent], None]) -> Callable[[], None]:
        """See ``VmEvents.subscribe``."""
        return self._host.events.subscribe(callback)

    async def ensure_image(self, image: ImageSpec) -> None:
        """See ``Driver.ensure_image``."""
        host = self._host
        await host.store.ensure_image(image, await host.find_qemu_user())

    async def probe(self) -> HostFacts:
        """See ``Driver.probe``."""
        host = self._host

        def work(connection: libvirt.virConnect) -> tuple[str, int, int]:
            vcpus = connection.getInfo()[2]
            # Not getInfo's: that is the memory the machine was started with, wrong after memory was added.
            memory_kib = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)["total"]
            qemu, library = connection.getVersion(), connection.getLibVersion()
            return f"QEMU {_version(qemu)} / libvirt {_version(library)}", int(vcpus), int(memory_kib) // 1024

        hypervisor, vcpus, memory_mib = await host.watch.run("ask what the host has", work)
        verdict = await host.accelerator.decide()
        space = await host.store.run("measure the disk", lambda: _measure(host.layout))
        if not host.is_session:
            await self.repair_firewall()
        capabilities = set(_ALWAYS)
        if not host.is_session:
            capabilities.add(Capability.LAN_SEGMENTS)
            if not await host.store.run("try a redirect between taps", host.taps.edges.obstacle):
                capabilities.add(Capability.TRANSPARENT_EDGES)
        if cpu_limits_work(host):
            capabilities.add(Capability.RESOURCE_LIMITS)
        return HostFacts(
            hypervisor=hypervisor,
            acceleration=verdict.acceleration,
            acceleration_reason=verdict.reason,
            vcpus=vcpus,
            memory_mib=memory_mib,
            disk_gib=space.size_mib // GIB_MIB,
            capabilities=frozenset(capabilities),
            obstacle=await self._obstacle(),
            space=space,
        )

    async def _obstacle(self) -> str:
        host = self._host
        folder = await host.closed_folder()
        if folder is None or host.qemu_user is None:
            return ""
        return (
            f"No VM can start: QEMU runs as the user {host.qemu_user.name}, who may not enter {folder}, "
            f"and the disks are below it. Run 'chmod o+x {folder}', or move the data folder elsewhere."
        )


def make_libvirt_driver(
    host_name: str,
    *,
    installation: str,
    state_dir: Path,
    uri: str = "",
    acceleration: str = "auto",
    probe_kernel: tuple[str, str] | None = None,
    nat_blocked: Sequence[str] = (),
) -> LibvirtDriver:
    """Make the driver of this machine; without a URI root gets ``qemu:///system`` and others ``qemu:///session``."""
    chosen = uri or ("qemu:///system" if os.geteuid() == 0 else "qemu:///session")
    return LibvirtDriver(
        host_name,
        installation,
        chosen,
        state_dir,
        acceleration=acceleration,
        probe_kernel=probe_kernel,
        nat_blocked=nat_blocked,
    )


def _version(number: int) -> str:
    """Unpack a version: libvirt packs them as major * 1,000,000 + minor * 1,000 + release."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"


def _measure(layout: Layout) -> DiskSpace:
    # Not the folder above: overlays are what grows, and their folder may be a file system of its own.
    layout.make_folders()
    return DiskSpace.of(layout.vms)
