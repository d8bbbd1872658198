"""The failure switches of the simulated provider do what its docstring says."""

import asyncio

import pytest

from parcela.hypervisors.errors import DriverError, FatalDriverError, HostUnreachableError, RetryableDriverError
from parcela.hypervisors.simulated import Delays, Effect, Failure, Moment, SimulatedWorld
from parcela.hypervisors.spec import DriverEvent, PowerState, VmEventKind
from tests.unit.hypervisors.simulated_lab import driver, nic, segment, vm

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def world() -> SimulatedWorld:
    return SimulatedWorld(delays=Delays.none())


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Failure.RETRYABLE, RetryableDriverError),
        (Failure.FATAL, FatalDriverError),
        (Failure.UNREACHABLE, HostUnreachableError),
    ],
)
async def test_the_nth_call_fails_in_the_given_way(
    world: SimulatedWorld, failure: Failure, error: type[DriverError]
) -> None:
    host = driver(world)
    world.faults.fail("create_vm", nth=2, times=2, failure=failure)
    await host.create_vm(vm())
    for _ in range(2):
        with pytest.raises(error):
            await host.create_vm(vm())
    await host.create_vm(vm())
    assert len((await host.inventory()).vms) == 2


async def test_a_switch_can_be_for_one_vm_or_one_host(world: SimulatedWorld) -> None:
    one, two = driver(world, "h1"), driver(world, "h2")
    world.faults.fail("create_vm", vm="db", times=None)
    world.faults.fail(host="h2", times=None, failure=Failure.UNREACHABLE)
    await one.create_vm(vm(name="web"))
    with pytest.raises(RetryableDriverError):
        await one.create_vm(vm(name="db"))
    with pytest.raises(HostUnreachableError):
        await two.probe()
    world.faults.clear()
    await one.create_vm(vm(name="db"))
    await two.probe()


async def test_a_switch_by_name_acts_on_later_calls_by_uuid(world: SimulatedWorld) -> None:
    host, spec = driver(world), vm(name="db")
    await host.create_vm(spec)
    world.faults.fail("start_vm", vm="db")
    with pytest.raises(RetryableDriverError):
        await host.start_vm(spec.uuid)
    await host.start_vm(spec.uuid)


async def test_a_failure_in_the_middle_of_a_creation_leaves_a_partial_vm(world: SimulatedWorld) -> None:
    host, spec = driver(world), vm()
    world.faults.fail("create_vm", moment=Moment.MIDDLE)
    with pytest.raises(RetryableDriverError):
        await host.create_vm(spec)
    assert [seen.defined for seen in (await host.inventory()).vms] == [False]
    with pytest.raises(FatalDriverError):
        await host.start_vm(spec.uuid)
    await host.create_vm(spec)
    assert [seen.defined for seen in (await host.inventory()).vms] == [True]
    assert world.count(Effect.OVERLAY_MADE, spec.uuid) == 1
    assert world.count(Effect.VM_DEFINED, spec.uuid) == 1


async def test_a_failure_in_the_middle_of_a_removal_leaves_the_files(world: SimulatedWorld) -> None:
    host, spec = driver(world), vm()
    await host.create_vm(spec)
    world.faults.fail("remove_vm", moment=Moment.MIDDLE)
    with pytest.raises(RetryableDriverError):
        await host.remove_vm(spec.uuid)
    assert [seen.defined for seen in (await host.inventory()).vms] == [False]
    await host.remove_vm(spec.uuid)
    assert (await host.inventory()).vms == ()
    assert world.count(Effect.OVERLAY_REMOVED, spec.uuid) == 1
    assert world.count(Effect.VM_UNDEFINED, spec.uuid) == 1


async def test_a_lost_answer_does_not_undo_the_effect(world: SimulatedWorld) -> None:
    host, spec = driver(world), vm()
    world.faults.fail("create_vm", moment=Moment.AFTER, failure=Failure.UNREACHABLE)
    with pytest.raises(HostUnreachableError):
        await host.create_vm(spec)
    await host.create_vm(spec)
    assert world.count(Effect.OVERLAY_MADE, spec.uuid) == 1
    assert world.count(Effect.VM_DEFINED, spec.uuid) == 1


async def test_a_held_call_goes_on_when_released(world: SimulatedWorld) -> None:
    host, spec = driver(world), vm()
    gate = world.faults.block("create_vm")
    creating = asyncio.create_task(host.create_vm(spec))
    await gate.reached()
    assert gate.held == 1
    assert (await host.inventory()).vms == ()
    gate.release()
    await creating
    assert gate.held == 0
    assert world.where(spec.uuid) == ("h1",)


async def test_clearing_the_board_releases_held_calls(world: SimulatedWorld) -> None:
    host, spec = driver(world), vm()
    gate = world.faults.block("create_vm", times=None)
    creating = asyncio.create_task(host.create_vm(spec))
    await gate.reached()
    world.faults.clear()
    await creating


async def test_a_killed_call_leaves_what_it_had_done_and_the_successor_ends_it(world: SimulatedWorld) -> None:
    spec = vm()
    gate = world.faults.block("create_vm", moment=Moment.MIDDLE)
    creating = asyncio.create_task(driver(world).create_vm(spec))
    await gate.reached()
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    successor = driver(world)
    assert [seen.defined for seen in (await successor.inventory()).vms] == [False]
    await successor.create_vm(spec)
    assert world.count(Effect.OVERLAY_MADE, spec.uuid) == 1


def test_the_world_outlives_the_event_loop(world: SimulatedWorld) -> None:
    spec = vm()
    events: list[DriverEvent] = []

    async def first_life() -> None:
        host = driver(world)
        host.subscribe(events.append)
        await host.create_vm(spec)
        await host.start_vm(spec.uuid)

    async def second_life() -> PowerState:
        return (await driver(world).inventory()).vms[0].power

    asyncio.run(first_life())
    seen_before = len(events)
    world.crash_vm(spec.uuid)
    assert asyncio.run(second_life()) is PowerState.CRASHED
    assert len(events) == seen_before, "the subscriber died with its loop"


async def test_a_lost_host_answers_nothing_and_tells_when_it_is_back(world: SimulatedWorld) -> None:
    host, spec = driver(world), vm()
    await host.create_vm(spec)
    await host.start_vm(spec.uuid)
    events: list[DriverEvent] = []
    host.subscribe(events.append)
    console = await host.open_serial(spec.uuid)
    world.disconnect_host("h1")
    for call in (host.probe, host.inventory):
        with pytest.raises(HostUnreachableError):
            await call()
    while await console.read():
        pass
    world.reconnect_host("h1")
    assert [seen.power for seen in (await host.inventory()).vms] == [PowerState.RUNNING]
    assert [event.kind for event in events] == [VmEventKind.HOST_LOST, VmEventKind.HOST_BACK]
    assert all(event.vm_uuid is None for event in events)


async def test_a_host_that_is_lost_ends_waiting_calls(world: SimulatedWorld) -> None:
    host, spec = driver(world), vm()
    await host.create_vm(spec)
    world.faults.never_ready("web")
    await host.start_vm(spec.uuid)
    waiting = asyncio.create_task(host.wait_ready(spec.uuid, "PARCELA READY", timeout_s=600))
    await asyncio.sleep(0)
    world.disconnect_host("h1")
    with pytest.raises(HostUnreachableError):
        await waiting


async def test_a_power_cut_stops_vms_and_takes_segments(world: SimulatedWorld) -> None:
    host, lan = driver(world), segment()
    await host.ensure_segment(lan)
    spec = vm(nic(lan))
    await host.create_vm(spec)
    await host.start_vm(spec.uuid)
    world.crash_host("h1")
    world.reconnect_host("h1")
    found = await host.inventory()
    assert [seen.power for seen in found.vms] == [PowerState.STOPPED]
    assert found.segments == ()
    with pytest.raises(FatalDriverError):
        await host.start_vm(spec.uuid)
    await host.ensure_segment(lan)
    await host.start_vm(spec.uuid)


async def test_accidents_to_vms_are_seen_and_told(world: SimulatedWorld) -> None:
    host = driver(world)
    crashed, stopped, removed = vm(name="a"), vm(name="b"), vm(name="c")
    for spec in (crashed, stopped, removed):
        await host.create_vm(spec)
        await host.start_vm(spec.uuid)
    events: list[DriverEvent] = []
    host.subscribe(events.append)
    world.crash_vm(crashed.uuid)
    world.stop_vm(stopped.uuid)
    world.remove_vm(removed.uuid)
    seen = {found.uuid: found.power for found in (await host.inventory()).vms}
    assert seen == {crashed.uuid: PowerState.CRASHED, stopped.uuid: PowerState.STOPPED}
    told = {(event.kind, event.vm_uuid) for event in events}
    assert {
        (VmEventKind.CRASHED, crashed.uuid),
        (VmEventKind.STOPPED, stopped.uuid),
        (VmEventKind.REMOVED, removed.uuid),
    } <= told
    await host.start_vm(crashed.uuid)
    assert world.where(removed.uuid) == ()


async def test_strangers_and_remains(world: SimulatedWorld) -> None:
    host = driver(world)
    stranger = world.add_foreign_domain("h1")
    remains = world.add_partial_vm("h1", "ours")
    assert [(seen.uuid, seen.defined) for seen in (await host.inventory()).vms] == [(remains, False)]
    await host.remove_vm(stranger)
    await host.remove_vm(remains)
    assert world.where(stranger) == ("h1",)
    assert world.where(remains) == ()
    guest = world.vm(stranger)
    assert guest is not None
    assert guest.power is PowerState.RUNNING


async def test_guests_that_hang(world: SimulatedWorld) -> None:
    host, spec = driver(world), vm()
    world.faults.never_ready("web")
    world.faults.ignore_power_button("web")
    await host.create_vm(spec)
    await host.start_vm(spec.uuid)
    assert not await host.wait_ready(spec.uuid, "PARCELA READY", timeout_s=0.001)
    assert not await host.shut_down(spec.uuid, timeout_s=0.001)
    world.faults.clear()
    await host.reboot(spec.uuid)
    assert await host.wait_ready(spec.uuid, "PARCELA READY", timeout_s=1)
    assert await host.shut_down(spec.uuid, timeout_s=1)
