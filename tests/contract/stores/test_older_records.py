"""Records that a version without folded texts stored in MongoDB."""

import pytest

from parcela.repositories.maintenance.codec import to_document
from parcela.repositories.maintenance.mongo import RECORDS, MongoMaintenanceStore
from parcela.repositories.maintenance.store import RecordFilter
from tests.contract.stores.makers import an_id, record
from tests.support.mongo import mongo_database, why_no_mongo

pytestmark = [pytest.mark.anyio, pytest.mark.store]
DECOMPOSED = "Sen\u0303al"


async def test_records_of_an_older_version_are_folded_when_the_server_is_there() -> None:
    if reason := why_no_mongo():
        pytest.skip(reason)
    async with mongo_database() as mongo:
        older = [to_document(record(number, notes=DECOMPOSED)) for number in range(1, 700)]
        await mongo.database[RECORDS].insert_many([{"_id": one["id"], "record": one} for one in older])
        store = MongoMaintenanceStore(mongo)
        await mongo.start()
        assert await store.count(RecordFilter(text="SENAL")) == len(older)
        found = await store.get(an_id(1))
        assert found is not None
        assert found.notes == "Se\u00f1al"


async def test_one_that_comes_later_is_found_by_its_ascii_letters() -> None:
    if reason := why_no_mongo():
        pytest.skip(reason)
    async with mongo_database() as mongo:
        store = MongoMaintenanceStore(mongo)
        await mongo.start()
        await mongo.database[RECORDS].insert_one({"_id": an_id(1), "record": to_document(record(1, notes="FAN"))})
        assert await store.count(RecordFilter(text="fan")) == 1
