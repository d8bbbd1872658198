from pathlib import Path
from uuid import UUID

import pytest

from parcela.db import migrate
from parcela.db.database import Database
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.compute.segments import nat_segment, new_macs

pytestmark = pytest.mark.anyio


async def _nat_uuid(path: Path) -> UUID:
    url = f"sqlite:///{path}"
    migrate.upgrade(url)
    database = Database(url)
    try:
        async with UnitOfWorkFactory(database).write() as uow:
            first, again = await nat_segment(uow), await nat_segment(uow)
            assert first.uuid == again.uuid
            assert first.tag == 1
            return first.uuid
    finally:
        await database.aclose()


async def test_two_installations_on_one_hypervisor_have_two_nat_networks(tmp_path: Path) -> None:
    assert await _nat_uuid(tmp_path / "one.db") != await _nat_uuid(tmp_path / "two.db")


async def test_the_database_is_readable_for_its_owner_only(tmp_path: Path) -> None:
    await _nat_uuid(tmp_path / "kept.db")
    assert (tmp_path / "kept.db").stat().st_mode & 0o777 == 0o600


async def test_macs_are_local_qemu_ones_and_all_different(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'macs.db'}"
    migrate.upgrade(url)
    database = Database(url)
    try:
        async with UnitOfWorkFactory(database).write() as uow:
            macs = await new_macs(uow, 300)
    finally:
        await database.aclose()
    assert len(set(macs)) == 300
    assert all(mac.startswith("52:54:00:") for mac in macs)
