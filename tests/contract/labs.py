"""The hosts on which the driver contract is checked, behind one face."""

import contextlib
import hashlib
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

import pytest

from parcela.hypervisors.driver import (
    Driver,
    ImageCopies,
    Lifetime,
    ReadySignals,
    SerialConsoles,
    VmEvents,
    VncConsoles,
)
from parcela.hypervisors.simulated import Delays, SimulatedDriver, SimulatedWorld
from parcela.hypervisors.spec import (
    GuestConfig,
    ImageFormat,
    ImageSpec,
    NicSpec,
    PowerState,
    SegmentKind,
    SegmentSpec,
    VmObservation,
    VmSpec,
)

BOOT_TIMEOUT_S = 600.0


class FullDriver(Driver, Lifetime, VmEvents, ReadySignals, SerialConsoles, VncConsoles, ImageCopies, Protocol):
    """A driver with every optional ability."""


class Lab(ABC):
    """A host with an opened driver of an installation of its own, and the image that is on it."""

    driver: FullDriver
    image: ImageSpec
    shows_segments = True

    @abstractmethod
    def make_driver(self, installation: str | None = None) -> FullDriver:
        """Another driver of the same host, not opened; of the same installation unless one is given."""

    @abstractmethod
    def deafen(self, spec: VmSpec) -> None:
        """Make sure that the guest does not hear the power button when it was only just started."""

    async def vm(self, *nics: NicSpec, name: str = "web", installed: bool = True) -> VmSpec:
        """A VM, switched off; without ``installed`` only its description."""
        spec = VmSpec(
            uuid=uuid4(),
            name=name,
            slice_uuid=uuid4(),
            owner="ana",
            vcpus=1,
            memory_mib=128,
            disk_gib=1,
            image=self.image,
            nics=nics,
            guest=GuestConfig(hostname=name),
        )
        if installed:
            await self.driver.create_vm(spec)
        return spec

    async def running(self, *nics: NicSpec, name: str = "web") -> VmSpec:
        """A VM that was switched on and may still be booting."""
        spec = await self.vm(*nics, name=name)
        await self.driver.start_vm(spec.uuid)
        return spec

    async def ready(self, *nics: NicSpec, name: str = "web") -> VmSpec:
        """A VM that has booted."""
        spec = await self.running(*nics, name=name)
        assert await self.driver.wait_ready(spec.uuid, self.marker, timeout_s=BOOT_TIMEOUT_S)
        return spec

    async def segment(self, kind: SegmentKind = SegmentKind.EDGE) -> SegmentSpec:
        """A segment that is on the host."""
        spec = SegmentSpec(uuid4(), uuid4(), kind, secrets.randbelow(16_000_000) + 1)
        await self.driver.ensure_segment(spec)
        return spec

    async def seen(self, uuid: UUID, driver: FullDriver | None = None) -> VmObservation | None:
        """What the inventory has of a VM."""
        found = await (driver or self.driver).inventory()
        return next((vm for vm in found.vms if vm.uuid == uuid), None)

    async def power(self, uuid: UUID) -> PowerState:
        """What a VM does, which has to be there."""
        vm = await self.seen(uuid)
        assert vm is not None
        assert vm.defined
        return vm.power

    @property
    def marker(self) -> str:
        """What the guest prints when it is ready."""
        assert self.image.ready_marker is not None
        return self.image.ready_marker


def nic(segment: SegmentSpec | None, end: int = 0, address: str | None = None) -> NicSpec:
    """A NIC with a fresh MAC."""
    tail = ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
    return NicSpec(f"52:54:00:{tail}", segment, end, address)


class SimulatedLab(Lab):
    """A world of its own, without delays."""

    def __init__(self, folder: Path) -> None:
        self.world = SimulatedWorld(delays=Delays.none())
        self.installation = "ours"
        self.driver = self.make_driver()
        content = b"a small image"
        (folder / "image.qcow2").write_bytes(content)
        self.image = ImageSpec(
            sha256=hashlib.sha256(content).hexdigest(),
            format=ImageFormat.QCOW2,
            source_path=str(folder / "image.qcow2"),
            virtual_size_bytes=64 * 1024**2,
            ready_marker="PARCELA READY",
        )

    def make_driver(self, installation: str | None = None) -> FullDriver:
        return SimulatedDriver(self.world, "here", installation or self.installation)

    def deafen(self, spec: VmSpec) -> None:
        self.world.faults.ignore_power_button(spec.name)


class LibvirtLab(Lab):
    """The private libvirt of the test lab; its guests hear no button in the first second of their boot."""

    def __init__(self, folder: Path) -> None:
        # Here and not above: the simulated half of the suite runs on machines without libvirt.
        from tests.integration.libvirt import harness

        self._harness = harness
        self._folder = folder
        self.installation = f"test-{secrets.token_hex(4)}"
        self.driver = self.make_driver()
        self.image = harness.make_image()
        self.shows_segments = not harness.libvirt_uri().startswith("qemu:///session")

    def make_driver(self, installation: str | None = None) -> FullDriver:
        return self._harness.make_driver(self._folder, installation=installation or self.installation)

    def deafen(self, spec: VmSpec) -> None:
        """Nothing to do."""

    async def clean_up(self) -> None:
        """Leave nothing behind."""
        await self._harness.clean_up(self.driver)


@contextlib.asynccontextmanager
async def simulated_lab(folder: Path) -> AsyncIterator[Lab]:
    """A simulated host."""
    lab = SimulatedLab(folder)
    await lab.driver.open()
    await lab.driver.ensure_image(lab.image)
    yield lab
    await lab.driver.aclose()


@contextlib.asynccontextmanager
async def libvirt_lab() -> AsyncIterator[Lab]:
    """The machine itself, where the test lab gives a libvirt."""
    if not os.environ.get("PARCELA_TEST_LIBVIRT_URI"):
        reason = os.environ.get("PARCELA_TEST_LIBVIRT_SKIP") or "PARCELA_TEST_LIBVIRT_URI is not set"
        pytest.skip(f"{reason}: run under the test lab")
    from tests.integration.libvirt import harness

    folder = harness.make_folder()
    try:
        lab = LibvirtLab(folder)
        await lab.driver.open()
        try:
            await lab.driver.ensure_image(lab.image)
            yield lab
        finally:
            await lab.clean_up()
            await lab.driver.aclose()
    finally:
        harness.remove_folder(folder)
