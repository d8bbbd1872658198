"""Reconcilers: each repairs its condition, and leaves alone what it must not touch."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.lifecycle import Action, CrashPolicy, OperationState
from parcela.hypervisors.simulated import Moment
from parcela.hypervisors.spec import SegmentKind, SegmentSpec
from parcela.models import VirtualMachine
from parcela.repositories.hosts import Claim
from tests.faults.conftest import Stage
from tests.faults.scenarios import (
    BY_NAME,
    CALLS,
    VM_RUNNING,
    Subject,
    act_on_slice,
    act_on_vm,
    check_outcome,
    target,
)
from tests.support.checks import check_consistent, read_rows
from tests.support.furnish import ALICE
from tests.support.lab import Lab, deploy, make_running_slice, make_running_vm, make_slice, make_vm, open_lab
from tests.support.snapshots import Snapshots

pytestmark = pytest.mark.anyio
CRASHED = "It stopped without being asked to: its QEMU process died."
VANISHED = (
    "It vanished from its host: somebody removed it there. 'start' makes it again, with its disk if that is left."
)


@pytest.fixture
async def running(
    snapshots: Snapshots[Subject], tmp_path: Path, anyio_backend: str
) -> AsyncIterator[tuple[Lab, Subject]]:
    """The VM ``web`` of a slice that runs."""
    async with snapshots.open(VM_RUNNING, tmp_path) as opened:
        yield opened


async def web(lab: Lab, subject: Subject) -> VirtualMachine:
    return await lab.vm(subject.need_vm())


async def slice_state(lab: Lab, subject: Subject) -> str:
    return (await lab.slice(subject.need_slice())).state


# ---- drift


async def test_nothing_happens_when_nothing_has_happened(running: tuple[Lab, Subject]) -> None:
    lab, _ = running
    await lab.stack.round()  # learns addresses, and what the host is
    before = await read_rows(lab)
    assert set((await lab.stack.round()).values()) == {0}
    assert (await read_rows(lab)).last_event == before.last_event


async def test_a_crash_is_shown(running: tuple[Lab, Subject]) -> None:
    lab, subject = running
    lab.world.crash_vm((await web(lab, subject)).uuid)
    assert (await lab.stack.round())["vm_drift"] == 1
    row = await web(lab, subject)
    assert (row.state, row.error, row.desired, row.ready_at) == ("error", CRASHED, "running", None)
    assert await slice_state(lab, subject) == "degraded"
    rows = await check_consistent(lab)
    told = [event.data for event in rows.events if event.type == "vm.state"][-1]
    assert told == {"state": "error", "error": CRASHED, "was": "running", "noticed": True}
    assert (await lab.stack.round())["vm_drift"] == 0  # once is enough
    await act_on_vm(lab, row.id, Action.START)
    await lab.stack.settle()
    assert await slice_state(lab, subject) == "running"
    await check_consistent(lab)


async def test_a_crash_is_repaired_when_the_policy_says_so(faulty: Lab) -> None:
    slice_id = await make_running_slice(faulty, "single", crash_policy=CrashPolicy.RESTART)
    vm = (await faulty.vms(slice_id))["solo"]
    faulty.world.crash_vm(vm.uuid)
    await faulty.stack.round()
    await faulty.stack.settle()
    assert (await faulty.vm(vm.id)).state == "running"
    assert (await faulty.slice(slice_id)).state == "running"
    rows = await check_consistent(faulty)
    assert (rows.operations[-1].kind, rows.operations[-1].requested_by) == ("vm.start", None)


async def test_a_crash_of_what_was_to_be_stopped_is_not_repaired(faulty: Lab) -> None:
    slice_id = await make_running_slice(faulty, "single", crash_policy=CrashPolicy.RESTART)
    vm = (await faulty.vms(slice_id))["solo"]
    await act_on_slice(faulty, slice_id, Action.SUSPEND)
    await faulty.stack.settle()
    faulty.world.crash_vm(vm.uuid)
    await faulty.stack.round()
    assert (await faulty.vm(vm.id)).state == "error"
    assert len((await check_consistent(faulty)).operations) == 2


@pytest.mark.parametrize(
    ("accident", "state", "error"),
    [("stop_vm", "stopped", ""), ("remove_vm", "error", VANISHED), ("pause", "paused", "")],
)
async def test_what_was_done_behind_our_back_is_shown(
    running: tuple[Lab, Subject], accident: str, state: str, error: str
) -> None:
    lab, subject = running
    uuid = (await web(lab, subject)).uuid
    if accident == "pause":
        host = lab.world.host("h1")
        host.pause(host.vms[uuid])
    else:
        getattr(lab.world, accident)(uuid)
    assert (await lab.stack.round())["vm_drift"] == 1
    row = await web(lab, subject)
    assert (row.state, row.error, row.desired) == (state, error, "running")
    assert await slice_state(lab, subject) == "degraded"
    await act_on_slice(lab, subject.need_slice(), Action.RESUME if state == "paused" else Action.START)
    await lab.stack.settle()
    assert await slice_state(lab, subject) == "running"
    await check_consistent(lab)


async def test_a_vm_that_somebody_starts_again_is_well_again(running: tuple[Lab, Subject]) -> None:
    lab, subject = running
    uuid = (await web(lab, subject)).uuid
    lab.world.crash_vm(uuid)
    await lab.stack.round()
    host = lab.world.host("h1")
    host.switch_on(host.vms[uuid], paused=False)
    await lab.stack.round()
    row = await web(lab, subject)
    assert (row.state, row.error) == ("running", "")
    assert await slice_state(lab, subject) == "running"


async def test_a_vm_with_an_operation_is_left_alone(running: tuple[Lab, Subject]) -> None:
    lab, subject = running
    gate = lab.world.faults.block("suspend", vm="web")
    operation = await act_on_vm(lab, subject.need_vm(), Action.SUSPEND)
    await gate.reached()
    before = await web(lab, subject)
    lab.world.stop_vm(before.uuid)
    assert (await lab.stack.round())["vm_drift"] == 0
    after = await web(lab, subject)
    assert (after.state, after.operation_id, after.updated_at) == ("running", operation.id, before.updated_at)
    gate.release()
    assert await lab.stack.ended(operation.id) is OperationState.FAILED  # the operation finds out by itself
    await lab.stack.round()
    await check_consistent(lab)


async def test_an_old_look_does_not_undo_a_newer_row(running: tuple[Lab, Subject]) -> None:
    lab, subject = running
    gate = lab.world.faults.block("inventory", moment=Moment.AFTER)
    looking = asyncio.create_task(lab.stack.round())
    await gate.reached()  # it has seen the VM running
    await act_on_vm(lab, subject.need_vm(), Action.STOP)
    await lab.stack.workers.engine.idle()
    gate.release()
    assert (await looking)["vm_drift"] == 0
    assert (await web(lab, subject)).state == "stopped"
    await check_consistent(lab)


async def test_addresses_are_learnt(faulty: Lab) -> None:
    vm_id = await make_running_vm(faulty)
    assert (await faulty.stack.round())["vm_drift"] == 1
    rows = await read_rows(faulty)
    assert [nic.leased_address for nic in rows.nics if nic.vm_id == vm_id] == ["172.31.0.2"]
    assert (await faulty.stack.round())["vm_drift"] == 0


# ---- strangers and orphans


async def test_strangers_are_never_touched(running: tuple[Lab, Subject]) -> None:
    lab, _ = running
    foreign = lab.world.add_foreign_domain("h1")
    others = lab.world.add_partial_vm("h1", str(uuid4()))
    lan = SegmentSpec(uuid4(), None, SegmentKind.LAN, 77)
    lab.world.host("h1").put_segment("another installation", lan)
    assert (await lab.stack.round())["orphan_sweep"] == 0
    assert lab.world.where(foreign) == lab.world.where(others) == ("h1",)
    assert ("another installation", lan.uuid) in lab.world.host("h1").segments
    vm = lab.world.vm(foreign)
    assert vm is not None
    assert vm.is_active


async def test_a_stranger_with_the_uuid_of_a_vm_is_not_taken_for_it(running: tuple[Lab, Subject]) -> None:
    lab, subject = running
    uuid = (await web(lab, subject)).uuid
    lab.world.remove_vm(uuid)
    lab.world.add_foreign_domain("h1", uuid=uuid)
    await lab.stack.round()
    assert (await web(lab, subject)).error == VANISHED
    operation = await act_on_vm(lab, subject.need_vm(), Action.START)
    assert await lab.stack.ended(operation.id) is OperationState.FAILED
    assert lab.world.where(uuid) == ("h1",)


async def test_orphans_are_removed(running: tuple[Lab, Subject]) -> None:
    lab, _ = running
    async with lab.stack.uows.read() as uow:
        installation = await uow.installation()
    orphan = lab.world.add_partial_vm("h1", installation)
    lan = SegmentSpec(uuid4(), uuid4(), SegmentKind.LAN, 77)
    lab.world.host("h1").put_segment(installation, lan)
    assert (await lab.stack.round())["orphan_sweep"] == 2
    assert lab.world.where(orphan) == ()
    rows = await check_consistent(lab)
    told = [event.data for event in rows.events if event.type == "host.orphan_removed"]
    assert [(data["what"], data["uuid"]) for data in told] == [("vm", str(orphan)), ("segment", str(lan.uuid))]
    assert (await lab.stack.round())["orphan_sweep"] == 0


async def test_an_unused_nat_network_goes(faulty: Lab) -> None:
    vm_id = await make_running_vm(faulty)
    row = await faulty.vm(vm_id)
    async with faulty.stack.uows.read() as uow:
        nat = await uow.segments.nat()
        installation = await uow.installation()
    assert nat is not None
    assert (await faulty.stack.round())["orphan_sweep"] == 0
    subject = Subject(vm_id=vm_id)
    operation = await BY_NAME["vm.destroy"].open(faulty, subject)
    assert await faulty.stack.ended(operation.id) is OperationState.SUCCEEDED
    assert row.host_id is not None
    faulty.world.host("h1").put_segment(installation, SegmentSpec(nat.uuid, None, SegmentKind.NAT, nat.tag or 1))
    assert (await faulty.stack.round())["orphan_sweep"] == 1
    await check_consistent(faulty)


SENSITIVE = [
    (name, step)
    for name in ("slice.deploy", "vm.deploy", "vm.start of a broken one", "vm.reset", "vm.destroy", "slice.destroy")
    for step in BY_NAME[name].steps
]


@pytest.mark.parametrize(("name", "step"), SENSITIVE)
async def test_a_round_in_the_middle_of_a_step_disturbs_nothing(stage: Stage, name: str, step: str) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        call = CALLS[scenario.steps[step]]
        gate = lab.world.faults.block(call, vm=await target(lab, subject, step), moment=Moment.MIDDLE)
        operation = await scenario.open(lab, subject)
        await gate.reached()
        lab.clock.turn(5)
        repairs = await lab.stack.round()
        assert {key: count for key, count in repairs.items() if count and key != "vm_drift"} == {}
        gate.release()
        assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED
        await check_outcome(lab, scenario, subject)
        await lab.stack.round()
        await check_consistent(lab)


# ---- leftovers


async def test_leaked_capacity_is_given_back(faulty: Lab) -> None:
    slice_id = await make_slice(faulty)
    vm = (await faulty.vms(slice_id))["web"]
    async with faulty.stack.uows.write() as uow:
        host = (await uow.hosts.all())[0]
        assert await uow.hosts.try_reserve(host.id, [Claim(vm.id, 1, 128, 1)])
        await uow.commit()
    assert (await faulty.stack.round())["reservation_leaks"] == 1
    rows = await check_consistent(faulty)
    assert rows.hosts[0].used_vcpus == 0
    assert (await faulty.stack.round())["reservation_leaks"] == 0


async def test_a_slice_ends_when_its_time_is_up(faulty: Lab) -> None:
    slice_id = await make_running_slice(faulty, expires_in_s=60)
    kept = await make_running_slice(faulty, "single", expires_in_s=6000)
    assert (await faulty.stack.round())["slice_expiry"] == 0
    faulty.clock.turn(61)
    gate = faulty.world.faults.block("reboot")
    await act_on_slice(faulty, slice_id, Action.REBOOT)
    await gate.reached()
    assert (await faulty.stack.round())["slice_expiry"] == 0  # somebody works on it
    gate.release()
    await faulty.stack.settle()
    assert (await faulty.stack.round())["slice_expiry"] == 1
    await faulty.stack.settle()
    assert (await faulty.slice(slice_id)).state == "destroyed"
    assert (await faulty.slice(kept)).state == "running"
    rows = await check_consistent(faulty)
    assert [event.slice_id for event in rows.events if event.type == "slice.expired"] == [slice_id]
    assert (await faulty.stack.round())["slice_expiry"] == 0


async def _told_ends(lab: Lab, slice_id: int) -> list[str]:
    events = (await read_rows(lab)).events
    return [
        event.data["expires_at"] for event in events if (event.type, event.slice_id) == ("slice.expiring", slice_id)
    ]


async def test_the_end_of_a_slice_is_told_a_quarter_of_an_hour_before_and_once(faulty: Lab) -> None:
    slice_id = await make_slice(faulty, expires_in_s=3600)
    first_end = (await faulty.slice(slice_id)).expires_at
    assert first_end is not None
    faulty.clock.turn(3600 - 901)
    assert (await faulty.stack.round())["expiry_notice"] == 0
    faulty.clock.turn(1)
    assert (await faulty.stack.round())["expiry_notice"] == 1
    assert (await faulty.stack.round())["expiry_notice"] == 0
    async with faulty.stack.uows.write() as uow:
        row = await faulty.stack.services.slices.extend(uow, ALICE, slice_id, 3600)
        second_end = row.expires_at
        await uow.commit()
    assert second_end is not None
    assert (await faulty.stack.round())["expiry_notice"] == 0
    faulty.clock.turn(3600 - 60)
    assert (await faulty.stack.round())["expiry_notice"] == 1
    assert await _told_ends(faulty, slice_id) == [first_end.isoformat(), second_end.isoformat()]
    faulty.clock.turn(61)
    assert (await faulty.stack.round())["expiry_notice"] == 0  # too late: it ends now
    await faulty.stack.settle()
    assert (await faulty.slice(slice_id)).state == "destroyed"


async def test_a_draft_ends_when_its_time_is_up(faulty: Lab) -> None:
    slice_id = await make_slice(faulty, expires_in_s=60)
    faulty.clock.turn(61)
    assert (await faulty.stack.round())["slice_expiry"] == 1
    await faulty.stack.settle()
    assert (await faulty.slice(slice_id)).state == "destroyed"
    await check_consistent(faulty)


async def test_an_extended_slice_lives_on(faulty: Lab) -> None:
    slice_id = await make_running_slice(faulty, "single", expires_in_s=60)
    async with faulty.stack.uows.write() as uow:
        row = await faulty.stack.services.slices.extend(uow, ALICE, slice_id, 600)
        await uow.commit()
    assert row.expires_at is not None
    assert row.expires_at - faulty.clock.now <= timedelta(seconds=600)
    faulty.clock.turn(61)
    assert (await faulty.stack.round())["slice_expiry"] == 0


# ---- hosts


async def test_a_host_that_is_away_is_shown_and_gets_nothing_new(faulty: Lab) -> None:
    lab = faulty
    slice_id = await make_running_slice(lab)
    draft = await make_slice(lab)
    lab.world.disconnect_host("h1")
    assert (await lab.stack.round())["host_liveness"] == 1
    checks = {check.name: check for check in await lab.stack.services.health.checks()}
    assert checks["host h1"].status == "down"
    assert "does not answer" in checks["host h1"].detail
    assert {vm.state for vm in (await lab.vms(slice_id)).values()} == {"running"}  # nobody knows better
    with pytest.raises(ParcelaError) as refused:
        await deploy(lab, draft)
    assert refused.value.kind is ErrorKind.NO_CAPACITY
    assert "no host takes new VMs" in refused.value.message
    assert "h1" in refused.value.message

    lab.world.reconnect_host("h1")
    assert (await lab.stack.round())["host_liveness"] == 1
    assert {c.status for c in await lab.stack.services.health.checks()} == {"ok"}
    await deploy(lab, draft)
    await lab.stack.settle()
    rows = await check_consistent(lab)
    told = [event.type for event in rows.events if event.type.startswith("host.")]
    assert told[-2:] == ["host.unreachable", "host.reachable"]


async def test_a_host_that_lost_its_power_is_built_up_again(faulty: Lab) -> None:
    lab = faulty
    slice_id = await make_running_slice(lab)
    lab.world.crash_host("h1")
    lab.powerless = True
    await lab.stack.round()
    lab.world.reconnect_host("h1")
    await lab.stack.round()
    assert {vm.state for vm in (await lab.vms(slice_id)).values()} == {"stopped"}
    assert (await lab.slice(slice_id)).state == "degraded"
    await act_on_slice(lab, slice_id, Action.START)
    await lab.stack.settle()
    assert (await lab.slice(slice_id)).state == "running"
    await check_consistent(lab)  # with all its segments
    uuids = {name: vm.uuid for name, vm in (await lab.vms(slice_id)).items()}
    assert lab.world.ping(uuids["web"], "10.0.1.2")


async def test_a_vm_on_a_host_that_is_not_its_own_is_an_orphan(any_lab_url: str, tmp_path: Path) -> None:
    async with open_lab(any_lab_url, tmp_path, hosts=2) as lab:
        vm_id, _ = await make_vm(lab)
        await lab.stack.settle()
        vm = await lab.vm(vm_id)
        home = lab.world.where(vm.uuid)[0]
        elsewhere = ({"h1", "h2"} - {home}).pop()
        async with lab.stack.uows.read() as uow:
            installation = await uow.installation()
        lab.world.add_partial_vm(elsewhere, installation, uuid=vm.uuid)
        assert (await lab.stack.round())["orphan_sweep"] == 1
        assert lab.world.where(vm.uuid) == (home,)
