"""Contract: power, with guests that need not have booted."""

import pytest

from parcela.hypervisors.errors import FatalDriverError
from parcela.hypervisors.spec import PowerState, VmEventKind
from tests.contract.labs import Lab
from tests.contract.watching import Watcher, watching

pytestmark = pytest.mark.anyio


async def test_starting_twice_is_fine(lab: Lab) -> None:
    spec = await lab.vm()
    for _ in range(2):
        await lab.driver.start_vm(spec.uuid)
        assert await lab.power(spec.uuid) is PowerState.RUNNING


async def test_a_vm_can_start_with_paused_processors(lab: Lab) -> None:
    spec = await lab.vm()
    for _ in range(2):
        await lab.driver.start_vm(spec.uuid, paused=True)
        assert await lab.power(spec.uuid) is PowerState.PAUSED
    await lab.driver.start_vm(spec.uuid)
    assert await lab.power(spec.uuid) is PowerState.RUNNING


async def test_a_running_vm_is_not_paused_by_a_paused_start(lab: Lab) -> None:
    spec = await lab.running()
    await lab.driver.start_vm(spec.uuid, paused=True)
    assert await lab.power(spec.uuid) is PowerState.RUNNING


async def test_pausing_and_resuming_twice_is_fine(lab: Lab) -> None:
    spec = await lab.running()
    for _ in range(2):
        await lab.driver.suspend(spec.uuid)
        assert await lab.power(spec.uuid) is PowerState.PAUSED
    for _ in range(2):
        await lab.driver.resume(spec.uuid)
        assert await lab.power(spec.uuid) is PowerState.RUNNING


async def test_pulling_the_plug_twice_is_fine(lab: Lab) -> None:
    spec = await lab.running()
    for _ in range(2):
        await lab.driver.power_off(spec.uuid)
        assert await lab.power(spec.uuid) is PowerState.STOPPED
    await lab.driver.start_vm(spec.uuid)
    assert await lab.power(spec.uuid) is PowerState.RUNNING


async def test_a_paused_vm_can_be_powered_off_and_removed(lab: Lab) -> None:
    spec = await lab.vm()
    await lab.driver.start_vm(spec.uuid, paused=True)
    await lab.driver.power_off(spec.uuid)
    assert await lab.power(spec.uuid) is PowerState.STOPPED
    await lab.driver.start_vm(spec.uuid, paused=True)
    await lab.driver.remove_vm(spec.uuid)
    assert await lab.seen(spec.uuid) is None


async def test_what_is_off_cannot_be_paused_resumed_or_rebooted(lab: Lab) -> None:
    spec = await lab.vm()
    for call in (lab.driver.suspend, lab.driver.resume, lab.driver.reboot):
        with pytest.raises(FatalDriverError):
            await call(spec.uuid)
    assert await lab.power(spec.uuid) is PowerState.STOPPED


async def test_shutting_down_what_is_off_succeeds(lab: Lab) -> None:
    spec = await lab.vm()
    assert await lab.driver.shut_down(spec.uuid, timeout_s=1)
    assert await lab.power(spec.uuid) is PowerState.STOPPED


async def test_a_guest_that_does_not_hear_the_button_still_runs(lab: Lab) -> None:
    spec = await lab.running()
    lab.deafen(spec)
    assert not await lab.driver.shut_down(spec.uuid, timeout_s=0.05)
    assert await lab.power(spec.uuid) is PowerState.RUNNING


async def test_consoles_of_what_is_off_do_not_open(lab: Lab) -> None:
    spec = await lab.vm()
    with pytest.raises(FatalDriverError):
        await lab.driver.open_serial(spec.uuid)
    with pytest.raises(FatalDriverError):
        await lab.driver.open_vnc(spec.uuid)


async def test_what_is_off_does_not_get_ready(lab: Lab) -> None:
    spec = await lab.vm()
    assert not await lab.driver.wait_ready(spec.uuid, lab.marker, timeout_s=30)


async def test_text_that_never_comes_is_waited_for_in_vain(lab: Lab) -> None:
    spec = await lab.running()
    assert not await lab.driver.wait_ready(spec.uuid, "no guest prints this", timeout_s=0.05)


async def test_events_tell_what_happened(lab: Lab) -> None:
    spec = await lab.vm()
    with watching(lab.driver) as watcher:
        await lab.driver.start_vm(spec.uuid)
        await watcher.wait_for(VmEventKind.STARTED, spec.uuid)
        await lab.driver.suspend(spec.uuid)
        await watcher.wait_for(VmEventKind.PAUSED, spec.uuid)
        await lab.driver.resume(spec.uuid)
        await watcher.wait_for(VmEventKind.RESUMED, spec.uuid)
        await lab.driver.power_off(spec.uuid)
        await watcher.wait_for(VmEventKind.STOPPED, spec.uuid)
        await lab.driver.remove_vm(spec.uuid)
        await watcher.wait_for(VmEventKind.REMOVED, spec.uuid)
    assert not any(event.kind is VmEventKind.CRASHED for event in watcher.events)


async def test_after_unsubscribing_nothing_comes(lab: Lab) -> None:
    spec = await lab.vm()
    early = Watcher()
    unsubscribe = lab.driver.subscribe(early.take)
    unsubscribe()
    unsubscribe()
    with watching(lab.driver) as watcher:
        await lab.driver.start_vm(spec.uuid)
        await watcher.wait_for(VmEventKind.STARTED, spec.uuid)
    assert early.events == []


async def test_events_of_others_are_not_ours(lab: Lab) -> None:
    spec = await lab.vm()
    stranger = lab.make_driver("somebody-else")
    await stranger.open()
    try:
        with watching(stranger) as theirs, watching(lab.driver) as ours:
            await lab.driver.start_vm(spec.uuid)
            await ours.wait_for(VmEventKind.STARTED, spec.uuid)
            await lab.driver.power_off(spec.uuid)
            await ours.wait_for(VmEventKind.STOPPED, spec.uuid)
        assert theirs.events == []
    finally:
        await stranger.aclose()
