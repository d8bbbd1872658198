"""Rows past their retention go, a batch at a time, on every kind of database; what is still needed stays."""

from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select, update

from parcela.core.settings import Settings
from parcela.models import (
    Base,
    Event,
    Nic,
    Operation,
    OperationStep,
    Segment,
    Slice,
    TemplateVersion,
    VirtualMachine,
)
from parcela.services.compute.template_drafts import TemplateDraft, TemplateLimits
from parcela.workers.reconcilers.retention import Retention
from tests.support.furnish import ADMIN, ALICE, DOCUMENTS, TEMPLATE_IDS, vm
from tests.support.lab import Lab, make_running_slice, make_slice
from tests.support.stack import KilledError

pytestmark = pytest.mark.anyio
DAY_S = 86400.0
GROWING: tuple[type[Base], ...] = (VirtualMachine, Segment, Slice, Operation, OperationStep, Nic)


async def counts(lab: Lab, *models: type[Base]) -> dict[str, int]:
    async with lab.stack.uows.read() as uow:
        return {
            model.__tablename__: int(await uow._session.scalar(select(func.count()).select_from(model)) or 0)
            for model in models
        }


def changed(lab: Lab, **values: Any) -> Settings:
    return lab.settings.model_copy(update=values)


async def sweep(lab: Lab, *, batch_rows: int = 3, **values: Any) -> int:
    """A sweep that is due, to its end."""
    retention = Retention(lab.stack.uows, changed(lab, **values), batch_rows=batch_rows)
    lab.clock.turn(3600)
    removed = 0
    while now := await retention.run():
        removed += now
    return removed


async def destroy(lab: Lab, slice_id: int) -> None:
    async with lab.stack.uows.write() as uow:
        await lab.stack.services.slices.destroy(uow, ALICE, slice_id)
        await uow.commit()
    await lab.stack.settle()


async def make_destroyed_slice(lab: Lab) -> int:
    slice_id = await make_running_slice(lab)
    await destroy(lab, slice_id)
    assert (await lab.slice(slice_id)).state == "destroyed"
    return slice_id


async def test_deleted_things_go_after_their_time_and_not_before(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    for _ in range(2):
        await make_destroyed_slice(lab)
    kept = await make_running_slice(lab)  # also: the newest rows of all tables
    before = await counts(lab, *GROWING)
    lab.clock.turn(89 * DAY_S)
    await sweep(lab)
    assert await counts(lab, *GROWING) == before
    lab.clock.turn(2 * DAY_S)
    assert await sweep(lab)
    after = await counts(lab, VirtualMachine, Slice, Operation)
    assert after == {"virtual_machines": 2, "slices": 1, "operations": before["operations"]}
    assert (await lab.slice(kept)).state == "running"
    assert set(await lab.vms(kept)) == {"web", "db"}
    lab.clock.turn(365 * DAY_S)
    await sweep(lab)
    rest = await counts(lab, Operation, OperationStep)
    assert rest == {"operations": 0, "operation_steps": 0}, "also the newest: no id is used again"
    assert await sweep(lab) == 0


async def test_what_is_not_over_stays_however_old_it_is(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    running, draft = await make_running_slice(lab), await make_slice(lab)
    destroyed = await make_destroyed_slice(lab)
    lab.world.faults.clear()
    async with lab.stack.uows.write() as uow:  # an operation that could not be undone still works on it
        operation = (await uow._session.scalars(select(Operation).where(Operation.slice_id == destroyed))).all()[-1]
        operation.state = "stuck"
        await uow.commit()
    await make_slice(lab)
    lab.clock.turn(1000 * DAY_S)
    await sweep(lab)
    for slice_id in (running, draft, destroyed):
        assert (await lab.slice(slice_id)).id == slice_id
    assert (await counts(lab, VirtualMachine))["virtual_machines"] >= 6


async def test_vms_that_an_older_version_deleted_are_emptied(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    await make_destroyed_slice(lab)
    running = await make_running_slice(lab)
    full = {"user_data": "#!/bin/sh", "guest": {"ssh_keys": ["ssh-ed25519 A"]}}
    async with lab.stack.uows.write() as uow:
        await uow._session.execute(update(VirtualMachine).values(**full))
        await uow.commit()
    assert await sweep(lab, batch_rows=1) == 2
    async with lab.stack.uows.read() as uow:
        rows = (await uow._session.scalars(select(VirtualMachine))).all()
    emptied = {vm.id: (vm.user_data, vm.guest) for vm in rows if vm.state == "deleted"}
    assert list(emptied.values()) == [(None, {})] * 2
    kept = [(vm.user_data, vm.guest) for vm in rows if vm.slice_id == running]
    assert kept == [(full["user_data"], full["guest"])] * 2


async def test_history_has_a_number_of_rows_at_most(faulty: Lab) -> None:
    for _ in range(4):
        await make_destroyed_slice(faulty)
    await make_slice(faulty)
    await sweep(faulty, retention_history_rows=2)
    left = await counts(faulty, Slice, VirtualMachine, Operation)
    assert left["slices"] == 1 + 1 + (2 - 1), "the draft, and the two destroyed last"
    assert left["operations"] == 2


async def test_thrown_away_drafts_leave_as_little_as_deployed_slices(faulty: Lab) -> None:
    for _ in range(3):
        slice_id = await make_slice(faulty)
        await destroy(faulty, slice_id)
    await make_slice(faulty)
    faulty.clock.turn(91 * DAY_S)
    await sweep(faulty)
    assert await counts(faulty, Slice, VirtualMachine) == {"slices": 1, "virtual_machines": 2}


async def test_events_go_from_the_old_end_and_keep_their_numbers(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    await make_running_slice(lab)
    async with lab.stack.uows.read() as uow:
        last_old = await uow.events.last_id()
    lab.clock.turn(366 * DAY_S)
    await make_slice(lab)
    await sweep(lab)
    async with lab.stack.uows.read() as uow:
        assert await uow.events.first_id() == last_old + 1
        last = await uow.events.last_id()
    lab.clock.turn(366 * DAY_S)
    await sweep(lab)
    assert (await counts(lab, Event))["events"] == 1, "the newest one tells the next number"
    async with lab.stack.uows.read() as uow:
        assert await uow.events.last_id() == last


async def test_events_have_a_number_of_rows_at_most(faulty: Lab) -> None:
    await make_running_slice(faulty)
    await sweep(faulty, retention_events_rows=5)
    assert (await counts(faulty, Event))["events"] == 5


async def save(lab: Lab, template_id: int, number: int) -> None:
    document = DOCUMENTS["single"] | {"vms": [vm(f"solo{number}")]}
    async with lab.stack.uows.write() as uow:
        await lab.stack.services.templates.update(
            uow, ADMIN, template_id, TemplateDraft(name="single", document=document, visibility="public")
        )
        await uow.commit()


async def versions(lab: Lab, template_id: int) -> list[int]:
    statement = select(TemplateVersion.version).where(TemplateVersion.template_id == template_id)
    async with lab.stack.uows.read() as uow:
        return list((await uow._session.scalars(statement.order_by(TemplateVersion.version))).all())


async def test_versions_in_use_and_the_newest_stay(faulty_anywhere: Lab) -> None:
    lab, template_id = faulty_anywhere, TEMPLATE_IDS["single"]
    for number in range(2, 9):
        if number == 4:
            used = await make_slice(lab, "single")  # of version 3
        await save(lab, template_id, number)
    assert await versions(lab, template_id) == [1, 2, 3, 4, 5, 6, 7, 8]
    await sweep(lab, template_versions_kept=2)
    assert await versions(lab, template_id) == [3, 7, 8]
    await destroy(lab, used)
    await sweep(lab, template_versions_kept=2)
    assert await versions(lab, template_id) == [7, 8]


async def test_saving_again_and_again_keeps_no_more_than_that(faulty: Lab) -> None:
    template_id = TEMPLATE_IDS["single"]
    faulty.stack.services.templates._limits = TemplateLimits(versions_kept=3)
    for number in range(2, 12):
        await save(faulty, template_id, number)
    assert await versions(faulty, template_id) == [9, 10, 11]


async def test_a_sweep_is_rare_and_reads_only_when_nothing_is_old(faulty: Lab) -> None:
    retention = Retention(faulty.stack.uows, faulty.settings)
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    assert await retention.run() == 0
    assert statements == [], "not before it is due"
    faulty.clock.turn(601)
    assert await retention.run() == 0
    assert 0 < len(statements) < 25
    assert not [one for one in statements if one.startswith(("DELETE", "UPDATE", "INSERT", "BEGIN IMMEDIATE"))]
    statements.clear()
    faulty.clock.turn(3500)
    assert await retention.run() == 0
    assert statements == []
    event.remove(Engine, "before_cursor_execute", note)


async def test_a_long_sweep_lets_the_others_have_their_turn(faulty: Lab) -> None:
    await make_running_slice(faulty)
    await make_slice(faulty)
    faulty.clock.turn(400 * DAY_S)
    retention = Retention(faulty.stack.uows, faulty.settings, batch_rows=1)
    faulty.clock.turn(601)
    first = await retention.run()
    assert (await counts(faulty, Event))["events"] > 1
    rounds = 1
    while (await counts(faulty, Event))["events"] > 1:
        assert await retention.run() <= 20 * 12, "goes on in the next round, without the pause"
        rounds += 1
    assert first
    assert rounds > 1


async def test_a_kill_in_the_middle_of_a_sweep_loses_nothing(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    for _ in range(2):
        await make_destroyed_slice(lab)
    kept = await make_running_slice(lab)
    lab.clock.turn(91 * DAY_S)
    commit = 0
    while True:
        commit += 1
        lab.stack.uows.die_at(commit, after=commit % 2 == 0)
        try:
            await sweep(lab, batch_rows=2)
        except KilledError:
            await lab.restart()
            continue
        break
    assert await counts(lab, Slice, VirtualMachine) == {"slices": 1, "virtual_machines": 2}
    assert (await lab.slice(kept)).state == "destroyed", "its own time has ended meanwhile, and is kept for 90 days"


async def test_template_sizes_are_those_of_the_documents(faulty_anywhere: Lab) -> None:
    await save(faulty_anywhere, TEMPLATE_IDS["single"], 2)
    async with faulty_anywhere.stack.uows.read() as uow:
        sizes = await uow._session.scalars(select(TemplateVersion.size_bytes).where(TemplateVersion.version == 2))
        assert [50 < size < 500 for size in sizes] == [True]
