"""The simulated world keeps its books: calls, usage, segments, time."""

import dataclasses

import pytest

from parcela.hypervisors.errors import FatalDriverError, RetryableDriverError, UnsupportedError
from parcela.hypervisors.simulated import Delays, Effect, HostSize, SimulatedDriver, SimulatedWorld, Usage
from parcela.hypervisors.spec import Acceleration, Capability, ImageFormat, ImageSpec, SegmentKind
from tests.unit.hypervisors.simulated_lab import IMAGE, driver, nic, segment, vm

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def world() -> SimulatedWorld:
    return SimulatedWorld(delays=Delays.none())


async def test_hosts_have_the_size_they_were_given_or_the_default() -> None:
    world = SimulatedWorld(delays=Delays.none(), default_host=HostSize(vcpus=3))
    world.add_host("big", vcpus=64, memory_mib=262144, disk_gib=4000, capabilities=frozenset({Capability.NAT}))
    big = await SimulatedDriver(world, "big", "ours").probe()
    assert (big.vcpus, big.memory_mib, big.disk_gib) == (64, 262144, 4000)
    assert big.capabilities == {Capability.NAT}
    assert big.acceleration is Acceleration.SIMULATED
    assert (await SimulatedDriver(world, "other", "ours").probe()).vcpus == 3
    assert [host.name for host in world.hosts] == ["big", "other"]
    world.add_host("big", vcpus=8)
    assert (await SimulatedDriver(world, "big", "ours").probe()).vcpus == 8


async def test_calls_are_logged_in_order(world: SimulatedWorld) -> None:
    host, spec = driver(world), vm()
    await host.create_vm(spec)
    await host.start_vm(spec.uuid)
    assert [(call.method, call.host, call.uuid, call.vm_name) for call in world.calls] == [
        ("create_vm", "h1", spec.uuid, "web"),
        ("start_vm", "h1", spec.uuid, "web"),
    ]


async def test_peak_usage_is_kept(world: SimulatedWorld) -> None:
    host = driver(world)
    one, two = vm(vcpus=2, memory_mib=512), vm(vcpus=1, memory_mib=256)
    await host.create_vm(one)
    await host.create_vm(two)
    await host.remove_vm(one.uuid)
    await host.update_vm(dataclasses.replace(two, vcpus=2))
    assert world.host("h1").usage == Usage(vcpus=2, memory_mib=256, disk_gib=1, vms=1)
    assert world.peak("h1") == Usage(vcpus=3, memory_mib=768, disk_gib=2, vms=2)


async def test_an_image_is_copied_once_per_host(world: SimulatedWorld) -> None:
    image = ImageSpec("b" * 64, ImageFormat.RAW, "/there/is/no/such/file", 1)
    for host in ("h1", "h1", "h2"):
        await driver(world, host).ensure_image(image)
    assert world.count(Effect.IMAGE_COPIED, image.sha256) == 2


async def test_what_a_vm_needs_must_be_there(world: SimulatedWorld) -> None:
    host, lan = driver(world), segment()
    with pytest.raises(FatalDriverError, match="segment"):
        await host.create_vm(vm(nic(lan)))
    with pytest.raises(FatalDriverError, match="image"):
        await host.create_vm(dataclasses.replace(vm(), image=dataclasses.replace(IMAGE, sha256="c" * 64)))
    assert (await host.inventory()).vms == ()


async def test_an_end_of_an_edge_is_for_one_vm(world: SimulatedWorld) -> None:
    host, edge = driver(world), segment(kind=SegmentKind.EDGE)
    await host.ensure_segment(edge)
    first = vm(nic(edge, end=0))
    await host.create_vm(first)
    with pytest.raises(FatalDriverError, match="end of an edge"):
        await host.create_vm(vm(nic(edge, end=0)))
    with pytest.raises(FatalDriverError, match="ends 0 and 1"):
        await host.create_vm(vm(nic(edge, end=2)))
    await host.create_vm(vm(nic(edge, end=1)))
    await host.remove_vm(first.uuid)
    await host.create_vm(vm(nic(edge, end=0)))


async def test_a_switched_off_vm_keeps_its_segment(world: SimulatedWorld) -> None:
    host, lan = driver(world), segment()
    await host.ensure_segment(lan)
    spec = vm(nic(lan))
    await host.create_vm(spec)
    with pytest.raises(RetryableDriverError):
        await host.remove_segment(lan.uuid)
    await host.update_vm(dataclasses.replace(spec, nics=()))
    await host.remove_segment(lan.uuid)
    assert world.count(Effect.SEGMENT_REMOVED, lan.uuid) == 1


async def test_a_tag_is_one_wire(world: SimulatedWorld) -> None:
    host = driver(world)
    old = segment(tag=7)
    await host.ensure_segment(old)
    with pytest.raises(RetryableDriverError):
        await host.ensure_segment(segment(tag=7))
    await host.remove_segment(old.uuid)
    await host.ensure_segment(segment(tag=7))


@pytest.mark.parametrize("kind", [SegmentKind.LAN, SegmentKind.NAT])
async def test_a_host_without_the_ability_refuses(world: SimulatedWorld, kind: SegmentKind) -> None:
    world.add_host("h1", capabilities=frozenset())
    with pytest.raises(UnsupportedError):
        await driver(world).ensure_segment(segment(kind=kind))
    await driver(world).ensure_segment(segment(kind=SegmentKind.EDGE))


async def test_time_passes_by_the_clock_and_stands_still_while_paused() -> None:
    now_s = 100.0
    world = SimulatedWorld(delays=dataclasses.replace(Delays.none(), boot_s=10.0, shutdown_s=4.0), speed=2.0)
    world.timing.clock = lambda: now_s
    host, spec = driver(world), vm()
    await host.create_vm(spec)
    await host.start_vm(spec.uuid)
    guest = world.vm(spec.uuid)
    assert guest is not None
    assert guest.guest is not None
    now_s += 3.0
    await host.suspend(spec.uuid)
    now_s += 50.0
    await host.resume(spec.uuid)
    now_s += 1.9
    await host.inventory()
    assert not guest.guest.ready
    now_s += 0.2
    await host.inventory()
    assert guest.guest.ready


async def test_a_guest_goes_down_even_when_nobody_waits_any_more() -> None:
    now_s = 0.0
    world = SimulatedWorld(delays=dataclasses.replace(Delays.none(), shutdown_s=4.0))
    world.timing.clock = lambda: now_s
    host, spec = driver(world), vm()
    await host.create_vm(spec)
    await host.start_vm(spec.uuid)
    assert not await host.shut_down(spec.uuid, timeout_s=0.0)
    now_s = 5.0
    assert await host.shut_down(spec.uuid, timeout_s=0.0)


def test_the_default_delays_are_small() -> None:
    assert Delays().boot_s == 0.5
    assert all(getattr(Delays.none(), name) == 0 for name in Delays.__dataclass_fields__)
