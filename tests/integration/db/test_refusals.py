"""Counts of refusals and the age of audit entries, on every kind of database."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from parcela.core.clock import utc_now
from parcela.core.origin import Origin
from parcela.models import AuditEntry
from parcela.repositories.paging import PageRequest
from parcela.services.observability.refusals import Refusals
from parcela.workers.reconcilers.retention import Retention
from tests.support.lab import Lab

pytestmark = pytest.mark.anyio
STRANGER = Origin("r1", address="198.51.100.7")
NEIGHBOUR = Origin("r2", address="198.51.100.8")


def refuse(refusals: Refusals, origin: Origin) -> bool:
    key, is_first = refusals.judge(origin, "auth.refused", "login")
    refusals.count(key)
    return is_first


async def test_counts_of_several_processes_add_up(faulty_anywhere: Lab) -> None:
    uows = faulty_anywhere.stack.uows
    one, other = Refusals(uows), Refusals(uows)
    assert [refuse(one, STRANGER), refuse(one, NEIGHBOUR), refuse(other, STRANGER)] == [True, False, True]
    assert await one.flush() == 1
    assert await other.flush() == 1
    refuse(one, STRANGER)
    faulty_anywhere.clock.turn(3600)
    assert refuse(one, STRANGER), "another hour"
    assert await one.flush() == 2
    assert await one.flush() == 0
    async with uows.read() as uow:
        rows = (await uow.refusals.page(PageRequest())).rows
    assert [(row["count"], row["origin"]) for row in rows] == [(4, "198.51.100.0/24"), (1, "198.51.100.0/24")]


async def test_old_entries_go_and_young_ones_cannot(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    uows = lab.stack.uows

    async def write(at: datetime, action: str) -> None:
        lab.clock.now = at
        async with uows.write() as uow:
            uow.note(action)
            await uow.commit()

    async def actions() -> list[str]:
        async with uows.read() as uow:
            return list(await uow._session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))

    now = utc_now()
    async with uows.read() as uow:
        before = int(await uow._session.scalar(select(func.count(AuditEntry.id))) or 0)
    for number, days in enumerate((2000, 1200, 1000, 367, 300, 1)):
        await write(now - timedelta(days=days), f"made.{number}")
    lab.clock.now = now + timedelta(days=366 * 20)  # a clock that is wrong must not take young entries along
    retention = Retention(uows, lab.settings, batch_rows=1)
    lab.clock.turn(3600)
    while await retention.run():
        pass
    assert (await actions())[before:] == ["made.4", "made.5"]
    async with uows.database.write_session() as session:
        with pytest.raises(DBAPIError, match="never changed or removed"):
            await session.execute(text("DELETE FROM audit_entries WHERE action = 'made.4'"))
    for_ever = lab.settings.model_copy(update={"retention_audit_days": 0})
    await write(now - timedelta(days=2000), "made.6")
    await write(now, "made.7")
    retention = Retention(uows, for_ever)
    lab.clock.turn(3600)
    await retention.run()
    assert "made.6" in await actions()
    assert now.tzinfo is UTC
