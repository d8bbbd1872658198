"""The contract of ``ActivityStore``."""

from datetime import timedelta

import pytest

from parcela.core.errors import ParcelaError
from parcela.repositories.maintenance.codec import activity_from_document, checksum, to_document
from parcela.repositories.maintenance.store import Activity
from tests.contract.stores.kinds import Opened
from tests.contract.stores.makers import NOON, activity, an_id

pytestmark = pytest.mark.anyio


async def append(stores: Opened, *entries: Activity) -> None:
    async with stores() as opened:
        await opened.activity.append(entries)


async def test_an_entry_comes_back_as_it_was_stored(stores: Opened) -> None:
    bare = Activity(id=an_id(2), at=NOON, action="plan.reminded")
    await append(stores, activity(1), bare)
    async with stores() as opened:
        assert [one async for one in opened.activity.export()] == [activity(1), bare]
        assert await opened.activity.count() == 2


async def test_an_entry_is_written_once_and_never_changed(stores: Opened) -> None:
    await append(stores, activity(1))
    await append(stores, activity(1, action="something.else"), activity(2), activity(2))
    await append(stores)
    async with stores() as opened:
        assert [one async for one in opened.activity.export()] == [activity(1), activity(2)]


async def test_pages_are_newest_first_and_may_be_of_one_machine(stores: Opened) -> None:
    made = [activity(n, at=NOON + timedelta(minutes=n % 3), machine_id=n % 2) for n in range(1, 9)]
    await append(stores, *made)
    async with stores() as opened:
        for machine_id in (None, 0, 1, 5):
            wanted = [one for one in made if machine_id in {None, one.machine_id}]
            seen: list[Activity] = []
            cursor = None
            while True:
                page = await opened.activity.page(machine_id=machine_id, limit=3, cursor=cursor)
                seen += page.entries
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert seen == sorted(wanted, key=lambda one: (one.at, one.id), reverse=True)
        with pytest.raises(ParcelaError) as caught:
            await opened.activity.page(cursor="nonsense")
        assert caught.value.code == "bad_cursor"


async def test_a_machine_is_forgotten(stores: Opened) -> None:
    await append(stores, activity(1, machine_id=1), activity(2, machine_id=2), activity(3, machine_id=None))
    async with stores() as opened:
        assert await opened.activity.forget_machine(1) == 1
        assert await opened.activity.forget_machine(1) == 0
    async with stores() as opened:
        assert [one.id async for one in opened.activity.export()] == [an_id(2), an_id(3)]
        assert (await checksum(opened.activity.export())).count == 2


def test_documents_there_and_back() -> None:
    assert activity_from_document(to_document(activity())) == activity()
