"""Rows that the catalogue's tests need and that other services would make."""

from uuid import uuid4

from parcela.models import Image, Slice, VirtualMachine, Zone
from parcela.repositories.uow import UnitOfWork
from tests.integration.catalogue.support import ALICE_ID


async def make_zone(uow: UnitOfWork, name: str) -> Zone:
    return await uow.zones.add(Zone(name=name, provider="simulated", created_at=uow.clock()))


async def make_image(uow: UnitOfWork, name: str, *, owner_id: int | None = None, sha256: str = "0" * 64) -> Image:
    image = Image(
        name=name,
        format="qcow2",
        sha256=sha256,
        size_bytes=1,
        virtual_size_bytes=1024**3,
        visibility="private" if owner_id else "public",
        owner_id=owner_id,
        path=f"/nowhere/{sha256}",
        created_at=uow.clock(),
    )
    return await uow.images.add(image)


async def make_slice(uow: UnitOfWork, zone_id: int) -> Slice:
    now = uow.clock()
    row = Slice(uuid=uuid4(), name="slice", owner_id=ALICE_ID, zone_id=zone_id, created_at=now, updated_at=now)
    return await uow.slices.add(row)


async def make_vm(
    uow: UnitOfWork, *, zone_id: int, host_id: int | None = None, image_id: int | None = None
) -> VirtualMachine:
    now = uow.clock()
    image_id = image_id or (await make_image(uow, f"image of {uuid4()}")).id
    vm = VirtualMachine(
        uuid=uuid4(),
        name="vm",
        owner_id=ALICE_ID,
        zone_id=zone_id,
        host_id=host_id,
        image_id=image_id,
        cores=1,
        memory_mib=128,
        disk_gib=1,
        guest={},
        created_at=now,
        updated_at=now,
    )
    return await uow.vms.add(vm)
