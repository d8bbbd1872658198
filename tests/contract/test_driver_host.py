"""Contract: what the host says, images, segments, and whose things are whose."""

import dataclasses
from uuid import uuid4

import pytest

from parcela.hypervisors.errors import DriverError, FatalDriverError, RetryableDriverError, UnsupportedError
from parcela.hypervisors.spec import Capability, PowerState, SegmentKind, SegmentObservation
from tests.contract.labs import Lab, nic

pytestmark = pytest.mark.anyio


async def test_probe_tells_what_the_host_has_and_changes_nothing(lab: Lab) -> None:
    before = await lab.driver.inventory()
    facts = await lab.driver.probe()
    assert facts.hypervisor
    assert facts.acceleration_reason
    assert facts.vcpus >= 1
    assert facts.memory_mib > 0
    assert facts.disk_gib > 0
    assert await lab.driver.inventory() == before
    # What is free belongs to the machine; others write to its file system, too.
    again = await lab.driver.probe()
    assert dataclasses.replace(again, space=facts.space) == facts


# ---- images


async def test_an_image_that_is_there_is_fine(lab: Lab) -> None:
    await lab.driver.ensure_image(lab.image)
    await lab.vm()


async def test_an_image_with_another_digest_is_refused_and_leaves_nothing(lab: Lab) -> None:
    broken = dataclasses.replace(lab.image, sha256="0" * 64)
    for _ in range(2):
        with pytest.raises(FatalDriverError):
            await lab.driver.ensure_image(broken)
    spec = dataclasses.replace(await lab.vm(installed=False), image=broken)
    with pytest.raises(DriverError):
        await lab.driver.create_vm(spec)


# ---- segments


async def test_a_segment_is_shown_until_it_is_removed(lab: Lab) -> None:
    segment = await lab.segment()
    await lab.driver.ensure_segment(segment)
    if lab.shows_segments:
        expected = SegmentObservation(segment.uuid, segment.slice_uuid, segment.kind)
        assert (await lab.driver.inventory()).segments == (expected,)
    await lab.driver.remove_segment(segment.uuid)
    assert (await lab.driver.inventory()).segments == ()
    await lab.driver.remove_segment(segment.uuid)


async def test_removing_a_segment_that_never_was_is_fine(lab: Lab) -> None:
    await lab.driver.remove_segment(uuid4())


async def test_lan_segments_work_or_are_refused_with_a_reason(lab: Lab) -> None:
    if Capability.LAN_SEGMENTS in (await lab.driver.probe()).capabilities:
        segment = await lab.segment(SegmentKind.LAN)
        assert [s.kind for s in (await lab.driver.inventory()).segments] == [SegmentKind.LAN]
        await lab.driver.remove_segment(segment.uuid)
    else:
        with pytest.raises(UnsupportedError):
            await lab.segment(SegmentKind.LAN)


async def test_a_segment_stays_while_a_nic_is_plugged_in(lab: Lab) -> None:
    if not lab.shows_segments:
        pytest.skip("segments of this host are made by QEMU with the NIC")
    segment = await lab.segment()
    spec = await lab.running(nic(segment))
    with pytest.raises(RetryableDriverError):
        await lab.driver.remove_segment(segment.uuid)
    assert [s.uuid for s in (await lab.driver.inventory()).segments] == [segment.uuid]
    assert await lab.power(spec.uuid) is PowerState.RUNNING
    await lab.driver.remove_vm(spec.uuid)
    await lab.driver.remove_segment(segment.uuid)
    assert (await lab.driver.inventory()).segments == ()


# ---- strangers


async def test_another_installation_sees_nothing_of_ours(lab: Lab) -> None:
    segment = await lab.segment()
    await lab.running(nic(segment))
    stranger = lab.make_driver("somebody-else")
    await stranger.open()
    try:
        found = await stranger.inventory()
        assert found.vms == ()
        assert found.segments == ()
    finally:
        await stranger.aclose()


async def test_another_installation_cannot_touch_our_vm(lab: Lab) -> None:
    spec = await lab.running()
    stranger = lab.make_driver("somebody-else")
    await stranger.open()
    try:
        for call in (stranger.start_vm, stranger.reboot, stranger.suspend, stranger.resume):
            with pytest.raises(FatalDriverError):
                await call(spec.uuid)
        with pytest.raises(FatalDriverError):
            await stranger.shut_down(spec.uuid, timeout_s=1)
        for change in (stranger.update_vm, stranger.reset_disk):
            with pytest.raises(FatalDriverError):
                await change(spec)
        await stranger.ensure_image(lab.image)
        with pytest.raises(FatalDriverError):
            await stranger.create_vm(spec)
        await stranger.power_off(spec.uuid)
        await stranger.remove_vm(spec.uuid)
    finally:
        await stranger.aclose()
    assert await lab.power(spec.uuid) is PowerState.RUNNING


async def test_another_installation_cannot_remove_our_segment(lab: Lab) -> None:
    segment = await lab.segment()
    before = await lab.driver.inventory()
    stranger = lab.make_driver("somebody-else")
    await stranger.open()
    try:
        await stranger.remove_segment(segment.uuid)
    finally:
        await stranger.aclose()
    assert await lab.driver.inventory() == before


# ---- lifetime


async def test_a_successor_finds_everything_as_it_was(lab: Lab) -> None:
    spec = await lab.running()
    successor = lab.make_driver()
    await successor.open()
    try:
        assert await successor.inventory() == await lab.driver.inventory()
        await successor.create_vm(spec)
        await successor.power_off(spec.uuid)
        assert await lab.power(spec.uuid) is PowerState.STOPPED
    finally:
        await successor.aclose()


async def test_closing_twice_leaves_vms_running(lab: Lab) -> None:
    spec = await lab.running()
    other = lab.make_driver()
    await other.open()
    await other.aclose()
    await other.aclose()
    assert await lab.power(spec.uuid) is PowerState.RUNNING
