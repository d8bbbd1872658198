"""The contract of ``OutsideStore``: changes in two steps."""

from dataclasses import replace

import pytest

from parcela.core.errors import ParcelaError
from parcela.repositories.maintenance.store import OutsideStore, PendingChange, RecordFilter
from tests.contract.stores.makers import an_id, record

pytestmark = pytest.mark.anyio
ONE, TWO = an_id(101), an_id(102)


async def test_nobody_sees_what_is_staged(outside: OutsideStore) -> None:
    await outside.add(record(1))
    await outside.add(record(2))
    await outside.stage_add(ONE, record(3, machine_id=8))
    assert await outside.stage_update(ONE, record(1, notes="changed"))
    assert await outside.stage_delete(ONE, an_id(2))
    assert await outside.get(an_id(1)) == record(1)
    assert await outside.get(an_id(3)) is None
    assert await outside.count(RecordFilter()) == 2
    assert [one.id for one in (await outside.page(RecordFilter())).records] == [an_id(2), an_id(1)]
    assert [one.id async for one in outside.export()] == [an_id(1), an_id(2)]
    assert sum(count.count for count in await outside.month_counts(RecordFilter())) == 2
    assert dict(await outside.last_performed([8])) == {}
    assert await outside.pending() == [PendingChange(ONE, (7, 8))]


async def test_a_confirmed_change_is_carried_out_once(outside: OutsideStore) -> None:
    await outside.add(record(1))
    await outside.add(record(2))
    await outside.stage_add(ONE, record(3))
    await outside.stage_update(ONE, record(1, notes="changed"))
    await outside.stage_delete(ONE, an_id(2))
    await outside.confirm(ONE)
    after = [record(1, notes="changed"), record(3)]
    assert [one async for one in outside.export()] == after
    assert await outside.pending() == []
    await outside.update(record(1, notes="later"))
    await outside.confirm(ONE)
    await outside.discard(ONE)
    assert [one async for one in outside.export()] == [record(1, notes="later"), record(3)]


async def test_a_discarded_change_leaves_no_trace(outside: OutsideStore) -> None:
    await outside.add(record(1))
    await outside.add(record(2))
    await outside.stage_add(ONE, record(3))
    await outside.stage_update(ONE, record(1, notes="changed"))
    await outside.stage_delete(ONE, an_id(2))
    await outside.discard(ONE)
    await outside.discard(ONE)
    await outside.confirm(ONE)
    assert [one async for one in outside.export()] == [record(1), record(2)]
    assert await outside.pending() == []
    await outside.add(record(3))


async def test_changes_do_not_touch_each_other(outside: OutsideStore) -> None:
    await outside.stage_add(ONE, record(1, machine_id=1))
    await outside.stage_add(TWO, record(2, machine_id=2))
    assert await outside.pending([an_id(2)]) == [PendingChange(TWO, (2,))]
    assert await outside.pending([an_id(9)]) == []
    assert len(await outside.pending(limit=1)) == 1
    await outside.confirm(TWO)
    assert await outside.pending() == [PendingChange(ONE, (1,))]
    assert [one.id async for one in outside.export()] == [an_id(2)]


async def test_what_cannot_be_done_is_said_at_once(outside: OutsideStore) -> None:
    await outside.add(record(1))
    with pytest.raises(ParcelaError) as caught:
        await outside.stage_add(ONE, record(1))
    assert caught.value.code == "maintenance_record_exists"
    assert not await outside.stage_update(ONE, replace(record(2)))
    assert not await outside.stage_delete(ONE, an_id(2))
    assert await outside.pending() == []
