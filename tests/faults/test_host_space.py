"""A host whose VM folder is short of space takes no new VM; it is told when that begins and when it is over."""

from collections.abc import AsyncIterator

import pytest

from parcela.core.disks import GIB_MIB
from parcela.core.errors import ParcelaError
from parcela.core.lifecycle import Action, OperationState
from tests.faults.conftest import Stage
from tests.faults.scenarios import BY_NAME, act_on_vm
from tests.support.checks import read_rows
from tests.support.lab import Lab, deploy, make_slice

pytestmark = pytest.mark.anyio


async def _free(lab: Lab, gib: float) -> None:
    lab.world.host("h1").free_mib = int(gib * GIB_MIB)
    lab.clock.turn(31)
    await lab.stack.round()


async def _events(lab: Lab) -> list[str]:
    return [event.type for event in (await read_rows(lab)).events if event.type.startswith("host.disk")]


async def _health(lab: Lab) -> dict[str, str]:
    return {check.name: check.status for check in await lab.stack.services.health.checks()}


@pytest.fixture
async def lab(stage: Stage, anyio_backend: str) -> AsyncIterator[Lab]:
    async with stage(BY_NAME["slice.stop"]) as (made, _):
        yield made


async def test_it_takes_no_new_vm_and_says_so(lab: Lab) -> None:
    size_gib = lab.world.host("h1").size.disk_gib
    limit_gib = min(size_gib * 0.05, 20)
    await _free(lab, limit_gib * 0.9)
    assert (await _health(lab))["host h1"] == "low"
    slice_id = await make_slice(lab)
    with pytest.raises(ParcelaError) as refused:
        await deploy(lab, slice_id)
    assert (refused.value.kind, refused.value.code) == ("no_capacity", "no_capacity")
    assert "h1 is short of disk space (" in refused.value.message
    assert [problem.code for problem in refused.value.problems] == ["space"]

    # What is there may be stopped and started: a start needs next to nothing, and QEMU pauses who writes too much.
    vm = next(vm for vm in (await read_rows(lab)).vms if vm.name == "web" and vm.state == "running")
    for action in (Action.STOP, Action.START):
        operation = await act_on_vm(lab, vm.id, action)
        assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED

    await _free(lab, limit_gib * 1.1)  # not yet: it would go to and fro
    assert (await _health(lab))["host h1"] == "low"
    await _free(lab, limit_gib * 1.3)
    assert (await _health(lab))["host h1"] == "ok"
    operation = await deploy(lab, slice_id)
    assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED
    assert await _events(lab) == ["host.disk_low", "host.disk_ok"]


async def test_what_is_known_stays_while_the_host_does_not_answer(lab: Lab) -> None:
    await _free(lab, 0)
    lab.world.disconnect_host("h1")
    await lab.stack.round()
    lab.world.reconnect_host("h1")
    await lab.stack.round()
    assert await _events(lab) == ["host.disk_low"]


async def test_metrics_tell(lab: Lab) -> None:
    await _free(lab, 0.5)
    text = (await lab.stack.services.observing.scrapes.scrape()).decode()
    assert 'parcela_host_disk_free_bytes{host="h1"' in text
    line = next(line for line in text.splitlines() if line.startswith("parcela_host_disk_low{"))
    assert line.endswith(" 1.0")
