"""Copies of deleted images leave their hosts; those that something needs, or may need in a moment, stay."""

import pytest

from parcela.workers.reconcilers.base import DrivenHosts
from parcela.workers.reconcilers.image_copies import ImageCopySweep
from tests.support.furnish import ALICE
from tests.support.lab import Lab, deploy, make_running_vm, make_slice

pytestmark = pytest.mark.anyio
TINY = "0" * 64
GONE = "f" * 64


async def sweep(lab: Lab) -> int:
    stack = lab.stack
    reconciler = ImageCopySweep(stack.uows, DrivenHosts(stack.uows, stack.drivers), lab.settings)
    lab.clock.turn(3601)
    return await reconciler.run()


def images(lab: Lab) -> set[str]:
    return set(lab.world.host("h1").images)


def age(lab: Lab) -> None:
    """All copies become old."""
    lab.world.host("h1").images_used_at.clear()


async def noted(lab: Lab) -> set[str]:
    async with lab.stack.uows.read() as uow:
        (host,) = [one for one in await uow.hosts.all() if one.name == "h1"]
        return set(await uow.image_space.copies_on(host.id))


async def test_copies_of_no_image_go(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    await make_running_vm(lab)
    lab.world.host("h1").images.add(GONE)
    age(lab)
    assert await sweep(lab) == 1
    assert images(lab) == {TINY}
    assert await noted(lab) == {TINY}
    assert await sweep(lab) == 0


async def test_a_copy_that_was_used_a_moment_ago_stays(faulty: Lab) -> None:
    host = faulty.world.host("h1")
    host.images.add(GONE)
    host.images_used_at[GONE] = faulty.world.timing.clock()
    assert await sweep(faulty) == 0
    assert images(faulty) == {GONE}
    age(faulty)
    assert await sweep(faulty) == 1


async def test_a_vm_that_is_left_of_a_deleted_image_keeps_its_copy(faulty: Lab) -> None:
    vm_id = await make_running_vm(faulty)
    async with faulty.stack.uows.write() as uow:  # as somebody might in the database: the image is another one now
        vm = await uow.vms.get(vm_id)
        (await uow.images.get(vm.image_id)).sha256 = "e" * 64
        await uow.commit()
    age(faulty)
    assert await sweep(faulty) == 0
    assert images(faulty) == {TINY}


async def test_nothing_is_removed_while_an_operation_works_on_the_host(faulty: Lab) -> None:
    slice_id = await make_slice(faulty)
    await deploy(faulty, slice_id, caller=ALICE)  # asked for, and not begun
    faulty.world.host("h1").images.add(GONE)
    age(faulty)
    assert await sweep(faulty) == 0
    await faulty.stack.settle()
    age(faulty)
    assert await sweep(faulty) == 1
    assert images(faulty) == {TINY}


async def test_a_deployment_after_the_sweep_copies_anew(faulty: Lab) -> None:
    faulty.world.host("h1").images.add(GONE)
    age(faulty)
    await sweep(faulty)
    await make_running_vm(faulty)
    assert images(faulty) == {TINY}


async def test_a_host_that_does_not_answer_is_looked_at_later(faulty: Lab) -> None:
    host = faulty.world.host("h1")
    host.images.add(GONE)
    age(faulty)
    host.reachable = False
    assert await sweep(faulty) == 0
    host.reachable = True
    assert await sweep(faulty) == 1
