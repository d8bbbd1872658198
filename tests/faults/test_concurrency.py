"""Two requests for the same thing at the same time: exactly one wins, the other learns that it did not."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.lifecycle import Action, OperationState
from parcela.db.constraints import is_transient
from parcela.models import Operation
from tests.faults.scenarios import Subject, act_on_slice, act_on_vm, destroy_slice, grow_vm
from tests.support.checks import check_consistent
from tests.support.fixtures import SERVERS
from tests.support.furnish import ALICE, BOB
from tests.support.lab import Lab, deploy, make_running_slice, make_slice, make_vm

pytestmark = pytest.mark.anyio
Ask = Callable[[Lab, Subject], Awaitable[Operation]]
ROUNDS = 2  # on servers; on SQLite writers queue, and each round is the same
LOST = {"busy", "slice_state", "vm_state"}


def on_slice(action: Action) -> Ask:
    return lambda lab, subject: act_on_slice(lab, subject.need_slice(), action)


def on_vm(action: Action) -> Ask:
    return lambda lab, subject: act_on_vm(lab, subject.need_vm(), action)


ASKS: dict[str, Ask] = {
    "deploy": lambda lab, subject: deploy(lab, subject.need_slice()),
    "destroy": lambda lab, subject: destroy_slice(lab, subject.need_slice()),
    "start": on_slice(Action.START),
    "stop": on_slice(Action.STOP),
    "reboot": on_slice(Action.REBOOT),
    "vm stop": on_vm(Action.STOP),
    "vm start": on_vm(Action.START),
    "vm reboot": on_vm(Action.REBOOT),
    "vm grow": lambda lab, subject: grow_vm(lab, subject.need_vm()),
}


async def draft(lab: Lab) -> Subject:
    slice_id = await make_slice(lab, "chain")
    return Subject(slice_id, (await lab.vms(slice_id))["one"].id)


async def running(lab: Lab) -> Subject:
    slice_id = await make_running_slice(lab, "chain")
    return Subject(slice_id, (await lab.vms(slice_id))["one"].id)


async def stopped(lab: Lab) -> Subject:
    subject = await running(lab)
    await act_on_slice(lab, subject.need_slice(), Action.STOP)
    await lab.stack.settle()
    return subject


RACES = [
    (draft, ["deploy", "deploy", "deploy"]),
    (stopped, ["start", "stop"]),
    (stopped, ["start", "vm start"]),
    (stopped, ["vm grow", "start"]),
    (running, ["stop", "reboot"]),
    (running, ["vm stop", "stop"]),
    (running, ["stop", "vm stop"]),
    (running, ["vm stop", "vm reboot"]),
]


DESTROYED = [
    (draft, ["deploy", "destroy"]),
    (running, ["destroy", "destroy"]),
    (running, ["stop", "destroy", "vm reboot", "destroy"]),
]


@contextmanager
def nobody_working(lab: Lab) -> Iterator[None]:
    """Operations are granted and not begun: one that ended before the next question came would be in nobody's way."""
    listeners = lab.stack.services.operations._engine._listeners
    kept = listeners.copy()
    listeners.clear()
    yield
    listeners.extend(kept)


@pytest.mark.parametrize(("before", "asked"), RACES, ids=[f"{b.__name__}: {', '.join(a)}" for b, a in RACES])
async def test_one_of_them_wins(
    faulty_anywhere: Lab, before: Callable[[Lab], Awaitable[Subject]], asked: list[str]
) -> None:
    lab = faulty_anywhere
    for _ in range(1 if lab.stack.database.is_sqlite else ROUNDS):
        subject = await before(lab)
        with nobody_working(lab):
            answers = await asyncio.gather(*(ASKS[name](lab, subject) for name in asked), return_exceptions=True)
        won = [answer for answer in answers if isinstance(answer, Operation)]
        lost = [answer for answer in answers if isinstance(answer, ParcelaError)]
        assert (len(won), len(lost)) == (1, len(asked) - 1), answers
        assert {error.kind for error in lost} == {ErrorKind.CONFLICT}
        assert {error.code for error in lost} <= LOST
        assert await lab.stack.ended(won[0].id) is OperationState.SUCCEEDED
        rows = await check_consistent(lab)
        assert rows.operations[-1].id == won[0].id


@pytest.mark.parametrize(("before", "asked"), DESTROYED, ids=[f"{b.__name__}: {', '.join(a)}" for b, a in DESTROYED])
async def test_a_destruction_wins_over_everything(
    faulty_anywhere: Lab, before: Callable[[Lab], Awaitable[Subject]], asked: list[str]
) -> None:
    lab = faulty_anywhere
    for _ in range(1 if lab.stack.database.is_sqlite else ROUNDS):
        subject = await before(lab)
        lab.world.faults.block("remove_vm")  # one that ended before the other came would not be found by it
        answers = await asyncio.gather(*(ASKS[name](lab, subject) for name in asked), return_exceptions=True)
        lab.world.faults.clear()
        granted = [answer for answer in answers if isinstance(answer, Operation)]
        lost = [answer for answer in answers if isinstance(answer, ParcelaError)]
        assert len(granted) + len(lost) == len(asked), answers
        assert {error.code for error in lost} <= LOST
        destructions = [answer.id for answer in granted if answer.kind == "slice.destroy"]
        assert len(destructions) == asked.count("destroy"), "each of them is told of it"
        assert len(set(destructions)) == 1, "and there is only one"
        assert await lab.stack.ended(destructions[0]) is OperationState.SUCCEEDED
        assert (await lab.slice(subject.need_slice())).state == "destroyed"
        rows = await check_consistent(lab)
        assert {row.state for row in rows.operations} <= {"succeeded", "cancelled"}


# On SQLite there is one writer at a time, and no circle.
@pytest.mark.parametrize("any_lab_url", [server for server in SERVERS if server != "sqlite"], indirect=True)
async def test_who_is_in_a_circle_is_told_to_try_again(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    both_have_one = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with lab.stack.uows.write() as uow:
            await uow.users.lock(first)
            await both_have_one.wait()
            await uow.users.lock(second)

    answers = await asyncio.gather(
        lock(ALICE.user_id, BOB.user_id), lock(BOB.user_id, ALICE.user_id), return_exceptions=True
    )
    told = [answer for answer in answers if answer is not None]
    assert [(error.kind, error.code) for error in told if isinstance(error, ParcelaError)] == [
        (ErrorKind.UNAVAILABLE, "database_conflict")
    ]
    assert (len(told), is_transient(told[0])) == (1, True)


async def test_operations_on_two_vms_of_a_slice_do_not_exclude_each_other(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    subject = await running(lab)
    vms = await lab.vms(subject.need_slice())
    answers = await asyncio.gather(*(act_on_vm(lab, vm.id, Action.STOP) for vm in vms.values()))
    assert [await lab.stack.ended(operation.id) for operation in answers] == [OperationState.SUCCEEDED] * 3
    await check_consistent(lab)
    assert (await lab.slice(subject.need_slice())).state == "stopped"


async def test_the_first_vms_with_a_way_out_share_it(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    made = await asyncio.gather(*(make_vm(lab, f"vm{number}") for number in range(4)))
    assert {await lab.stack.ended(operation.id) for _, operation in made} == {OperationState.SUCCEEDED}
    rows = await check_consistent(lab)
    assert [segment.kind for segment in rows.segments] == ["nat"]


async def asked(ask: Callable[[], Awaitable[Operation]]) -> int:
    """1 when it was granted, 0 when something was in the way."""
    try:
        await ask()
    except ParcelaError as refused:
        return int(refused.kind is not ErrorKind.CONFLICT) * -1000
    return 1


async def test_ends_of_vm_operations_and_requests_for_the_slice_do_not_wait_in_a_circle(faulty_anywhere: Lab) -> None:
    """Each end of an operation on a VM settles its slice, which somebody asks for at the same moments."""
    lab = faulty_anywhere
    subject = await running(lab)
    vms = list((await lab.vms(subject.need_slice())).values())

    async def keep_asking(ask: Callable[[], Awaitable[Operation]]) -> int:
        granted = 0
        for _ in range(10):
            granted += await asked(ask)
            await lab.stack.round()  # reconcilers lock slices and VMs, too
        return granted

    asking = [keep_asking(partial(act_on_vm, lab, vm.id, Action.REBOOT)) for vm in vms]
    asking.append(keep_asking(partial(act_on_slice, lab, subject.need_slice(), Action.REBOOT)))
    assert sum(await asyncio.gather(*asking)) > 0
    await lab.stack.settle()
    await check_consistent(lab)
    assert {vm.state for vm in (await lab.vms(subject.need_slice())).values()} == {"running"}
