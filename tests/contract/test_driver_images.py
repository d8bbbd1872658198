"""Contract: copies of images are listed, and go when nothing on the host needs them."""

import pytest

from tests.contract.labs import Lab

pytestmark = pytest.mark.anyio


async def name_of_copy(lab: Lab) -> str:
    """Name of the copy of the lab's image; "" when there is none."""
    found = [copy for copy in await lab.driver.image_copies() if copy.sha256 == lab.image.sha256]
    return found[0].name if found else ""


async def test_a_copy_stays_while_a_vm_needs_it(lab: Lab) -> None:
    await lab.driver.ensure_image(lab.image)
    spec = await lab.vm()
    name = await name_of_copy(lab)
    assert not await lab.driver.remove_image_copy(name, min_age_s=0)
    assert await name_of_copy(lab) == name
    await lab.driver.start_vm(spec.uuid)
    await lab.driver.power_off(spec.uuid)


async def test_a_copy_that_nothing_needs_goes_and_comes_back(lab: Lab) -> None:
    await lab.driver.ensure_image(lab.image)
    spec = await lab.vm()
    await lab.driver.remove_vm(spec.uuid)
    copies = await lab.driver.image_copies()
    name = await name_of_copy(lab)
    for _ in range(2):
        assert await lab.driver.remove_image_copy(name, min_age_s=0)
    left = {copy.name for copy in await lab.driver.image_copies()}
    assert left == {copy.name for copy in copies} - {name}
    assert await name_of_copy(lab) == ""
    await lab.driver.ensure_image(lab.image)
    assert await name_of_copy(lab) == name
    await lab.vm()


async def test_a_copy_that_was_just_asked_for_stays(lab: Lab) -> None:
    await lab.driver.ensure_image(lab.image)
    name = await name_of_copy(lab)
    assert not await lab.driver.remove_image_copy(name, min_age_s=3600)
    await lab.vm()
