"""Makers for tests of the simulated provider."""

from uuid import uuid4

from parcela.hypervisors.simulated import SimulatedDriver, SimulatedWorld
from parcela.hypervisors.spec import (
    GuestConfig,
    ImageFormat,
    ImageSpec,
    NicSpec,
    SegmentKind,
    SegmentSpec,
    VmSpec,
)

IMAGE = ImageSpec("a" * 64, ImageFormat.QCOW2, "", 1024**2, ready_marker="PARCELA READY")


def driver(world: SimulatedWorld, host: str = "h1", installation: str = "ours") -> SimulatedDriver:
    world.host(host).images.add(IMAGE.sha256)
    return SimulatedDriver(world, host, installation)


def segment(tag: int = 1, kind: SegmentKind = SegmentKind.LAN) -> SegmentSpec:
    return SegmentSpec(uuid4(), uuid4(), kind, tag)


def nic(where: SegmentSpec | None, address: str | None = None, *, end: int = 0, dhcp: bool = False) -> NicSpec:
    tail = uuid4().bytes[:3]
    return NicSpec("52:54:00:" + ":".join(f"{byte:02x}" for byte in tail), where, end, address, dhcp)


def vm(
    *nics: NicSpec, name: str = "web", vcpus: int = 1, memory_mib: int = 128, guest: GuestConfig | None = None
) -> VmSpec:
    config = guest or GuestConfig(hostname=name)
    return VmSpec(uuid4(), name, uuid4(), "ana", vcpus, memory_mib, 1, IMAGE, nics, config)
