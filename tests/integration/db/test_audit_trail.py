"""The audit trail and the numbers for metrics, on every kind of database."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from parcela.repositories.audit import AuditFilter
from parcela.repositories.paging import PageRequest
from tests.support.lab import Lab, make_running_vm

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("statement", ["UPDATE audit_entries SET actor_name = 'nobody'", "DELETE FROM audit_entries"])
async def test_entries_stay_as_they_are(faulty_anywhere: Lab, statement: str) -> None:
    uows = faulty_anywhere.stack.uows
    async with uows.write() as uow:
        uow.add_event("flavour.created", actor_id=1, data={"id": 7, "name": "small"})
        await uow.commit()
    async with uows.database.write_session() as session:
        with pytest.raises(DBAPIError, match="never changed or removed"):
            await session.execute(text(statement))
    async with uows.read() as uow:
        page = await uow.audit.page(PageRequest(sort="-at"), AuditFilter(action="flavour.*", noun_id="7"))
    (entry,) = page.rows
    assert (entry["actor_id"], entry["actor_name"], entry["noun_name"]) == (1, "admin", "small")


async def test_numbers_for_metrics(faulty_anywhere: Lab) -> None:
    await make_running_vm(faulty_anywhere)
    async with faulty_anywhere.stack.uows.read() as uow:
        found = await uow.statistics.read()
    assert found.vms == {("running",): 1}
    assert found.operations == {}
    assert found.queued == {("operations",): 0, ("webhooks",): 0}
    assert found.host_used["h1", "vcpus"] == 1
    assert found.host_capacity["h1", "memory_mib"] == 65536
    assert found.host_up == {("h1",): 1.0}
