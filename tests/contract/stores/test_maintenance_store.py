"""The contract of ``MaintenanceStore``."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from parcela.core.errors import ParcelaError
from parcela.core.machines import MaintenanceKind, MaintenanceState
from parcela.repositories.maintenance.codec import checksum
from parcela.repositories.maintenance.store import MaintenanceRecord, MonthCount, RecordFilter
from tests.contract.stores.kinds import Opened
from tests.contract.stores.makers import NOON, an_id, bare, record

pytestmark = pytest.mark.anyio
K, S = MaintenanceKind, MaintenanceState
DAY = date(2030, 5, 17)


async def fill(stores: Opened, *records: MaintenanceRecord) -> None:
    async with stores() as opened:
        for one in records:
            await opened.records.add(one)


async def ids(stores: Opened, wanted: RecordFilter) -> list[int]:
    async with stores() as opened:
        found = await opened.records.page(wanted, newest_first=False)
        assert await opened.records.count(wanted) == len(found.records)
    return [int(one.id[-12:], 16) for one in found.records]


@pytest.mark.parametrize("one", [record(), bare()], ids=["full", "bare"])
async def test_a_record_comes_back_as_it_was_stored(stores: Opened, one: MaintenanceRecord) -> None:
    await fill(stores, one)
    async with stores() as opened:
        assert await opened.records.get(one.id) == one
        assert await opened.records.get(an_id(2)) is None
        assert await opened.records.get("no uuid") is None


async def test_an_id_is_taken_once(stores: Opened) -> None:
    await fill(stores, record())
    with pytest.raises(ParcelaError) as caught:
        await fill(stores, record(notes="another"))
    assert caught.value.code == "maintenance_record_exists"
    async with stores() as opened:
        assert await opened.records.get(an_id(1)) == record()


async def test_an_update_replaces_the_whole_record(stores: Opened) -> None:
    changed = replace(bare(1), updated_at=NOON + timedelta(seconds=1))
    async with stores() as opened:
        assert not await opened.records.update(changed)
    await fill(stores, record(1), record(2))
    async with stores() as opened:
        assert await opened.records.update(changed)
    async with stores() as opened:
        assert await opened.records.get(an_id(1)) == changed
        assert await opened.records.get(an_id(2)) == record(2)


async def test_an_update_with_the_same_values_is_one_too(stores: Opened) -> None:
    await fill(stores, record())
    async with stores() as opened:
        assert await opened.records.update(record())


async def test_a_record_is_removed_once(stores: Opened) -> None:
    await fill(stores, record(1), record(2))
    async with stores() as opened:
        assert await opened.records.delete(an_id(1))
    async with stores() as opened:
        assert not await opened.records.delete(an_id(1))
    assert await ids(stores, RecordFilter()) == [2]


async def test_filters(stores: Opened) -> None:
    await fill(
        stores,
        record(1, machine_id=1, performed_on=DAY, company="Acme", technician="Ana", notes="fan"),
        record(2, machine_id=2, performed_on=DAY + timedelta(days=1), company="acme 100%", technician="Bo", notes=""),
        record(
            3, machine_id=2, performed_on=DAY + timedelta(days=2), kind=K.CORRECTIVE, company="", technician="Ana B"
        ),
        record(4, machine_id=3, performed_on=DAY + timedelta(days=3), state=S.OPEN, company="Other_one", notes="FAN"),
    )
    for wanted, found in {
        RecordFilter(): [1, 2, 3, 4],
        RecordFilter(machine_ids=(2, 3)): [2, 3, 4],
        RecordFilter(machine_ids=()): [],
        RecordFilter(kind=K.CORRECTIVE): [3],
        RecordFilter(state=S.OPEN): [4],
        RecordFilter(since=DAY + timedelta(days=1), until=DAY + timedelta(days=2)): [2, 3],
        RecordFilter(company="ACME"): [1, 2],
        RecordFilter(company="0%"): [2],
        RecordFilter(company="r_o"): [4],
        RecordFilter(company="a.me"): [],
        RecordFilter(technician="ana"): [1, 3],
        RecordFilter(text="fan"): [1, 3, 4],
        RecordFilter(text="ana", machine_ids=(2,), kind=K.CORRECTIVE): [3],
    }.items():
        assert await ids(stores, wanted) == found, wanted


async def test_text_is_found_whatever_its_case_and_accents(stores: Opened) -> None:
    await fill(
        stores,
        record(
            1, company="Se\u00f1ales N\u00fa\u00f1ez", technician="I\u00f1aki", notes="luz de SE\u00d1ALIZACI\u00d3N"
        ),
        record(2, company="Senado", technician="Ana", notes="nube"),
    )
    for wanted, found in {
        RecordFilter(company="SE\u00d1ALES NUNEZ"): [1],
        RecordFilter(company="sen"): [1, 2],
        RecordFilter(technician="IN\u0303AKI"): [1],
        RecordFilter(text="sen\u0303alizacio\u0301n"): [1],
        RecordFilter(text="se.al"): [],
    }.items():
        assert await ids(stores, wanted) == found, wanted
    async with stores() as opened:
        assert await opened.records.update(record(1, company="Otra", technician="\u00c1lex", notes=""))
    assert await ids(stores, RecordFilter(text="nunez")) == []
    assert await ids(stores, RecordFilter(text="ALEX")) == [1]


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_give_every_record_once_in_order(stores: Opened, newest_first: bool) -> None:
    # Four days with three records each: pages of five end in the middle of a day.
    made = [record(n, performed_on=DAY + timedelta(days=n % 4)) for n in range(1, 13)]
    await fill(stores, *made)
    seen: list[MaintenanceRecord] = []
    cursor, lengths = None, []
    async with stores() as opened:
        while True:
            page = await opened.records.page(RecordFilter(), limit=5, cursor=cursor, newest_first=newest_first)
            seen += page.records
            lengths.append(len(page.records))
            cursor = page.next_cursor
            if cursor is None:
                break
    assert lengths == [5, 5, 2]
    assert seen == sorted(made, key=lambda one: (one.performed_on, one.id), reverse=newest_first)


async def test_no_page_follows_a_full_last_one(stores: Opened) -> None:
    await fill(stores, record(1), record(2))
    async with stores() as opened:
        assert (await opened.records.page(RecordFilter(), limit=2)).next_cursor is None


async def test_a_cursor_of_another_order_is_refused(stores: Opened) -> None:
    await fill(stores, record(1), record(2))
    async with stores() as opened:
        cursor = (await opened.records.page(RecordFilter(), limit=1)).next_cursor
        for bad in (cursor, "no cursor", "W10"):
            with pytest.raises(ParcelaError) as caught:
                await opened.records.page(RecordFilter(), cursor=bad, newest_first=False)
            assert caught.value.code == "bad_cursor"


async def test_counts_per_month_and_kind(stores: Opened) -> None:
    await fill(
        stores,
        record(1, performed_on=date(2030, 1, 1)),
        record(2, performed_on=date(2030, 1, 31), kind=K.CORRECTIVE),
        record(3, performed_on=date(2030, 1, 15)),
        record(4, performed_on=date(2029, 12, 31), machine_id=8),
    )
    async with stores() as opened:
        assert await opened.records.month_counts(RecordFilter()) == [
            MonthCount(date(2029, 12, 1), K.PREVENTIVE, 1),
            MonthCount(date(2030, 1, 1), K.CORRECTIVE, 1),
            MonthCount(date(2030, 1, 1), K.PREVENTIVE, 2),
        ]
        assert await opened.records.month_counts(RecordFilter(machine_ids=(9,))) == []


async def test_the_last_day_something_was_done(stores: Opened) -> None:
    await fill(
        stores,
        record(1, machine_id=1, performed_on=DAY),
        record(2, machine_id=1, performed_on=DAY + timedelta(days=3)),
        record(3, machine_id=1, performed_on=DAY + timedelta(days=9), state=S.OPEN),
        record(4, machine_id=2, performed_on=DAY),
        record(5, machine_id=3, performed_on=DAY, state=S.OPEN),
    )
    async with stores() as opened:
        assert dict(await opened.records.last_performed()) == {1: DAY + timedelta(days=3), 2: DAY}
        assert dict(await opened.records.last_performed([2, 3])) == {2: DAY}
        assert dict(await opened.records.last_performed([])) == {}


async def test_an_export_that_is_imported_has_the_same_checksum(stores: Opened) -> None:
    made = [record(n, notes=f"number {n}") for n in (3, 1, 2)] + [bare(4)]
    await fill(stores, *made)
    async with stores() as opened:
        exported = [one async for one in opened.records.export()]
        assert exported == sorted(made, key=lambda one: one.id)
        assert [one.id async for one in opened.records.export(RecordFilter(machine_ids=(2**40,)))] == [an_id(4)]
        before = await checksum(opened.records.export())
        for one in made:
            await opened.records.delete(one.id)
    async with stores() as opened:
        assert (await checksum(opened.records.export())).count == 0
        for one in exported:
            await opened.records.import_record(replace(one, notes="a first, broken try"))
            await opened.records.import_record(one)
            await opened.records.import_record(one)
    async with stores() as opened:
        assert await checksum(opened.records.export()) == before


@pytest.mark.parametrize(
    "facts", [{"id": "1"}, {"created_at": NOON.replace(tzinfo=None)}, {"updated_at": NOON.replace(microsecond=1)}]
)
def test_what_some_store_could_not_keep_is_no_record(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        record(**facts)


async def test_the_last_work_of_plans(stores: Opened) -> None:
    later = NOON + timedelta(seconds=1)
    await fill(
        stores,
        record(1, plan_id=5, performed_on=DAY + timedelta(days=2)),
        record(2, plan_id=5, performed_on=DAY, finished_at=later),
        record(3, plan_id=5, performed_on=DAY + timedelta(days=9), state=S.OPEN, finished_at=None),
        record(4, plan_id=6, performed_on=DAY + timedelta(days=3)),
        record(5, plan_id=None, performed_on=DAY + timedelta(days=4)),
    )
    async with stores() as opened:
        last = opened.records.last_of_plan
        assert await last(5, 7) == DAY + timedelta(days=2)
        assert await last(5, 7, finished_since=later) == DAY
        assert await last(5, 7, finished_since=later + timedelta(milliseconds=1)) is None
        assert await last(99, 7) is None
        assert await opened.records.last_of_plans([5, 6, 99]) == {
            5: DAY + timedelta(days=2),
            6: DAY + timedelta(days=3),
        }
