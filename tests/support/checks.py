"""What has to be true of every installation when nothing is under way: rows, reservations, events and world agree."""

from collections import Counter
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select

from parcela.core.lifecycle import OPERATION_TERMINAL, VM_ON_HOST, SliceState, VmState, slice_transition, vm_transition
from parcela.hypervisors.simulated import Effect
from parcela.hypervisors.spec import PowerState
from parcela.models import (
    Counter as CounterRow,
)
from parcela.models import (
    Event,
    Host,
    Nic,
    Operation,
    OperationStep,
    Reservation,
    Segment,
    Slice,
    VirtualMachine,
)
from parcela.models.base import Base
from tests.support.lab import Lab

RowT = TypeVar("RowT", bound=Base)
POWER = {"running": PowerState.RUNNING, "paused": PowerState.PAUSED, "stopped": PowerState.STOPPED}
ENDED = {state.value for state in OPERATION_TERMINAL}


@dataclass
class Rows:
    """Everything the database says, read at once."""

    hosts: list[Host]
    slices: list[Slice]
    segments: list[Segment]
    vms: list[VirtualMachine]
    nics: list[Nic]
    reservations: list[Reservation]
    operations: list[Operation]
    steps: list[OperationStep]
    events: list[Event]
    last_event: int

    def on_host(self, host: Host) -> list[VirtualMachine]:
        """VMs that are (partly or wholly) on a host."""
        return [vm for vm in self.vms if vm.host_id == host.id and vm.state in {s.value for s in VM_ON_HOST}]


async def read_rows(lab: Lab) -> Rows:
    """Look at the whole database."""
    async with lab.stack.database.read_session() as session:

        async def every(model: type[RowT]) -> list[RowT]:
            found: Any = model
            return list((await session.scalars(select(model).order_by(found.id))).all())

        counter = await session.get_one(CounterRow, "events")
        return Rows(
            hosts=await every(Host),
            slices=await every(Slice),
            segments=await every(Segment),
            vms=await every(VirtualMachine),
            nics=await every(Nic),
            reservations=await every(Reservation),
            operations=await every(Operation),
            steps=await every(OperationStep),
            events=await every(Event),
            last_event=counter.value,
        )


async def check_consistent(lab: Lab) -> Rows:
    """Check everything; the rows, for more questions."""
    rows = await read_rows(lab)
    lab.names.update({vm.uuid: vm.name for vm in rows.vms} | {s.uuid: s.name for s in rows.segments})
    check_released(rows)
    check_reservations(rows)
    async with lab.stack.uows.read() as uow:
        assert await uow.quotas.wrong() == [], "what quotas say is used is what is reserved"
    check_world(lab, rows)
    check_events(rows)
    check_transitions(rows)
    return rows


def check_released(rows: Rows) -> None:
    """Nothing is under way, so nothing is held, and every step has its end."""
    assert [(o.id, o.kind, o.state) for o in rows.operations if o.state not in ENDED] == []
    assert [o.id for o in rows.operations if o.lease_owner is not None] == []
    assert [(s.name, s.operation_id) for s in rows.slices if s.operation_id is not None] == []
    assert [(vm.name, vm.operation_id) for vm in rows.vms if vm.operation_id is not None] == []
    passing = {"pending", "running", "undoing"}
    assert [(s.operation_id, s.key, s.state) for s in rows.steps if s.state in passing] == []


def check_reservations(rows: Rows) -> None:
    """Capacity is held for the VMs that are on hosts, and for nothing else; sums and rows agree."""
    placed = {vm.id: (vm.host_id, vm.cores, vm.memory_mib, vm.disk_gib) for h in rows.hosts for vm in rows.on_host(h)}
    held = {r.vm_id: (r.host_id, r.vcpus, r.memory_mib, r.disk_gib) for r in rows.reservations}
    assert held == placed
    check_sums(rows)


def check_sums(rows: Rows) -> None:
    """``used_*`` are the sums of the reservations, within the limits."""
    for host in rows.hosts:
        mine = [r for r in rows.reservations if r.host_id == host.id]
        sums = (sum(r.vcpus for r in mine), sum(r.memory_mib for r in mine), sum(r.disk_gib for r in mine))
        used = (host.used_vcpus, host.used_memory_mib, host.used_disk_gib)
        assert used == sums, host.name
        limits = (host.vcpus_limit, host.memory_limit_mib, host.disk_limit_gib)
        assert all(0 <= a <= b for a, b in zip(used, limits, strict=True)), host.name


def check_world(lab: Lab, rows: Rows) -> None:
    """Each host has exactly the VMs and segments that the rows say, each whole, and each made once."""
    segments = {segment.id: segment for segment in rows.segments}
    for host in rows.hosts:
        there = {uuid: vm for uuid, vm in lab.world.host(host.name).vms.items() if vm.installation is not None}
        wanted = {vm.uuid: vm for vm in rows.on_host(host)}
        assert set(there) == set(wanted), f"VMs on {host.name}"
        for uuid, row in wanted.items():
            seen = there[uuid]
            lab.world.host(host.name).advance(seen)
            assert seen.defined, row.name
            assert seen.files is not None, row.name
            assert row.state not in POWER or seen.power is POWER[row.state], (row.name, row.state, seen.power)
            size = (seen.spec.name, seen.spec.vcpus, seen.spec.memory_mib, seen.spec.disk_gib)
            assert size == (row.name, row.cores, row.memory_mib, row.disk_gib)
        used = {segments[n.segment_id or 0].uuid for vm in wanted.values() for n in rows.nics if _plugged(n, vm)}
        laid = {uuid for _, uuid in lab.world.host(host.name).segments}
        assert laid == used, f"segments on {host.name}"
    homes = Counter(uuid for host in lab.world.hosts for uuid in host.vms)
    assert [uuid for uuid, count in homes.items() if count > 1] == []
    check_net_effects(lab)


def _plugged(nic: Nic, vm: VirtualMachine) -> bool:
    return nic.vm_id == vm.id and nic.segment_id is not None


def check_net_effects(lab: Lab) -> None:
    """What was made and not removed is there, once."""
    world = lab.world
    pairs = ((Effect.OVERLAY_MADE, Effect.OVERLAY_REMOVED), (Effect.VM_DEFINED, Effect.VM_UNDEFINED))
    for uuid in {key for _, key in world.effects if isinstance(key, UUID)}:
        vm = world.vm(uuid)
        left = [world.count(made, uuid) - world.count(removed, uuid) for made, removed in pairs]
        assert left == ([1, 1] if vm is not None else [0, 0]), lab.names.get(uuid, uuid)
        laid = sum(uuid == key for host in world.hosts for _, key in host.segments)
        if lab.powerless:
            continue  # a host that loses its power loses its segments without removing them
        assert world.count(Effect.SEGMENT_MADE, uuid) - world.count(Effect.SEGMENT_REMOVED, uuid) == laid


def check_events(rows: Rows) -> None:
    """Numbers have no gaps; every operation was created, started and ended, and its steps began before they ended."""
    assert [event.id for event in rows.events] == list(range(1, rows.last_event + 1))
    for operation in rows.operations:
        mine = [event for event in rows.events if event.operation_id == operation.id]
        types = [event.type for event in mine if event.type.startswith("operation.")]
        types = [told for told in types if told != "operation.cancel_requested"]  # that may be at any moment
        assert types[:2] == ["operation.created", "operation.started"], types
        assert types.count("operation.started") == 1
        assert types[-1] == f"operation.{operation.state}", types
        steps = [event.data for event in mine if event.type == "operation.step"]
        for key, told in groupby(sorted(steps, key=lambda data: str(data["step"])), key=lambda data: data["step"]):
            _check_step_events([str(data["state"]) for data in told], key)


def check_transitions(rows: Rows) -> None:
    """Every change of state that was told is in the table."""
    for row in rows.slices:
        told = [SliceState(e.data["state"]) for e in rows.events if e.type == "slice.state" and e.slice_id == row.id]
        for old, new in pairwise([SliceState.DRAFT, *told]):
            assert slice_transition(old, new) is None, (row.name, told)
        assert row.state == (told[-1] if told else "draft")
    for vm in rows.vms:
        seen = [VmState(e.data["state"]) for e in rows.events if e.type == "vm.state" and e.vm_id == vm.id]
        for was, now in pairwise([VmState.DEFINED, *seen]):
            assert vm_transition(was, now) is None, (vm.name, seen)
        assert vm.state == (seen[-1] if seen else vm.state), (vm.name, seen)


def _check_step_events(states: list[str], key: str) -> None:
    ends = {"done", "failed", "skipped", "undone", "undo_failed"}
    for old, new in zip(["pending", *states], states, strict=False):
        if new in {"done", "failed"}:
            assert old == "running", (key, states)
        if new in {"undone", "undo_failed"}:
            assert old == "undoing", (key, states)
        if new == "running":
            assert old not in ends, (key, states)


def effects_of(lab: Lab, before: Counter[tuple[Effect, UUID | str]], names: set[str]) -> dict[tuple[str, str], int]:
    """How often each side effect happened since ``before``, by names of things, for those in ``names``."""
    since = Counter(lab.world.effects)
    since.subtract(before)
    return {
        (effect.value, lab.names[key]): count
        for (effect, key), count in since.items()
        if count and isinstance(key, UUID) and lab.names.get(key) in names
    }
