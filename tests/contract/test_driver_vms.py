"""Contract: making, changing, resetting and removing VMs."""

import dataclasses
from uuid import uuid4

import pytest

from parcela.hypervisors.errors import DriverError, FatalDriverError
from parcela.hypervisors.spec import PowerState, VmObservation
from tests.contract.labs import Lab, nic

pytestmark = pytest.mark.anyio


# ---- create


async def test_a_new_vm_is_switched_off(lab: Lab) -> None:
    spec = await lab.vm()
    assert await lab.seen(spec.uuid) == VmObservation(spec.uuid, spec.slice_uuid, PowerState.STOPPED)


async def test_making_a_vm_again_changes_nothing(lab: Lab) -> None:
    spec = await lab.vm(nic(await lab.segment()))
    before = await lab.driver.inventory()
    await lab.driver.create_vm(spec)
    assert await lab.driver.inventory() == before


async def test_making_a_running_vm_again_keeps_it_running(lab: Lab) -> None:
    spec = await lab.running()
    await lab.driver.create_vm(spec)
    assert await lab.power(spec.uuid) is PowerState.RUNNING


async def test_a_stand_alone_vm_has_no_slice(lab: Lab) -> None:
    spec = dataclasses.replace(await lab.vm(installed=False), slice_uuid=None)
    await lab.driver.create_vm(spec)
    seen = await lab.seen(spec.uuid)
    assert seen is not None
    assert seen.slice_uuid is None


async def test_what_cannot_be_made_leaves_no_definition(lab: Lab) -> None:
    image = dataclasses.replace(lab.image, sha256="1" * 64)
    spec = dataclasses.replace(await lab.vm(installed=False), image=image)
    with pytest.raises(DriverError):
        await lab.driver.create_vm(spec)
    seen = await lab.seen(spec.uuid)
    assert seen is None or not seen.defined
    await lab.driver.remove_vm(spec.uuid)
    assert await lab.seen(spec.uuid) is None


async def test_a_failed_creation_can_be_repeated(lab: Lab) -> None:
    spec = await lab.vm(installed=False)
    missing = dataclasses.replace(lab.image, sha256="1" * 64)
    with pytest.raises(DriverError):
        await lab.driver.create_vm(dataclasses.replace(spec, image=missing))
    await lab.driver.create_vm(spec)
    assert await lab.power(spec.uuid) is PowerState.STOPPED


# ---- update


async def test_a_changed_vm_is_still_off_and_starts(lab: Lab) -> None:
    spec = await lab.vm()
    segment = await lab.segment()
    changed = dataclasses.replace(spec, vcpus=2, memory_mib=192, disk_gib=2, nics=(nic(segment), nic(None)))
    await lab.driver.update_vm(changed)
    await lab.driver.update_vm(changed)
    assert await lab.power(spec.uuid) is PowerState.STOPPED
    await lab.driver.start_vm(spec.uuid)
    assert await lab.power(spec.uuid) is PowerState.RUNNING


async def test_a_disk_does_not_shrink(lab: Lab) -> None:
    spec = await lab.vm()
    await lab.driver.update_vm(dataclasses.replace(spec, disk_gib=3))
    with pytest.raises(FatalDriverError):
        await lab.driver.update_vm(dataclasses.replace(spec, disk_gib=2))


async def test_a_vm_that_is_on_cannot_be_changed(lab: Lab) -> None:
    spec = await lab.running()
    with pytest.raises(FatalDriverError):
        await lab.driver.update_vm(dataclasses.replace(spec, vcpus=2))
    await lab.driver.suspend(spec.uuid)
    with pytest.raises(FatalDriverError):
        await lab.driver.update_vm(dataclasses.replace(spec, vcpus=2))
    assert await lab.power(spec.uuid) is PowerState.PAUSED


async def test_after_a_failed_change_the_old_definition_is_there(lab: Lab) -> None:
    spec = await lab.vm()
    missing = dataclasses.replace(lab.image, sha256="1" * 64)
    with pytest.raises(DriverError):
        await lab.driver.update_vm(dataclasses.replace(spec, image=missing))
    await lab.driver.start_vm(spec.uuid)
    assert await lab.power(spec.uuid) is PowerState.RUNNING


# ---- reset


async def test_a_reset_vm_is_off_and_starts(lab: Lab) -> None:
    spec = await lab.vm(nic(await lab.segment()))
    await lab.driver.reset_disk(spec)
    await lab.driver.reset_disk(spec)
    assert await lab.seen(spec.uuid) == VmObservation(spec.uuid, spec.slice_uuid, PowerState.STOPPED)
    await lab.driver.start_vm(spec.uuid)
    assert await lab.power(spec.uuid) is PowerState.RUNNING


async def test_a_vm_that_is_on_cannot_be_reset(lab: Lab) -> None:
    spec = await lab.running()
    with pytest.raises(FatalDriverError):
        await lab.driver.reset_disk(spec)
    assert await lab.power(spec.uuid) is PowerState.RUNNING


# ---- remove


async def test_a_running_vm_is_removed(lab: Lab) -> None:
    spec = await lab.running(nic(await lab.segment()))
    await lab.driver.remove_vm(spec.uuid)
    assert await lab.seen(spec.uuid) is None
    await lab.driver.remove_vm(spec.uuid)


async def test_a_removed_vm_can_be_made_again(lab: Lab) -> None:
    spec = await lab.vm()
    await lab.driver.remove_vm(spec.uuid)
    await lab.driver.create_vm(spec)
    assert await lab.power(spec.uuid) is PowerState.STOPPED


# ---- VMs that do not exist


async def test_a_missing_vm_can_be_removed_and_powered_off(lab: Lab) -> None:
    await lab.driver.remove_vm(uuid4())
    await lab.driver.power_off(uuid4())
    assert (await lab.driver.inventory()).vms == ()


@pytest.mark.parametrize("method", ["start_vm", "reboot", "suspend", "resume", "open_serial", "open_vnc"])
async def test_calls_on_a_missing_vm_are_fatal(lab: Lab, method: str) -> None:
    with pytest.raises(FatalDriverError):
        await getattr(lab.driver, method)(uuid4())


async def test_waiting_for_a_missing_vm_is_fatal(lab: Lab) -> None:
    with pytest.raises(FatalDriverError):
        await lab.driver.shut_down(uuid4(), timeout_s=1)
    with pytest.raises(FatalDriverError):
        await lab.driver.wait_ready(uuid4(), lab.marker, timeout_s=1)


async def test_changing_a_missing_vm_is_fatal(lab: Lab) -> None:
    spec = await lab.vm(installed=False)
    with pytest.raises(FatalDriverError):
        await lab.driver.update_vm(spec)
    with pytest.raises(FatalDriverError):
        await lab.driver.reset_disk(spec)
    assert await lab.seen(spec.uuid) is None
