"""Maintenance records and the activity log in MongoDB.

One document per record: ``record`` is what everybody sees, ``pending`` a change that waits for its transaction. Both in
one document, because MongoDB changes one document at once and whole, also without a replica set: a confirmation that
comes late finds its change gone, and cannot bring an old version back.

``folded`` in a record has its texts as they are searched; the server's own ``$toLower`` knows ASCII letters only.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import date, datetime
from functools import partial

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from parcela.core.collation import composed, folded
from parcela.core.machines import MaintenanceKind, MaintenanceState
from parcela.db.mongo import Document, Mongo
from parcela.repositories.maintenance.codec import (
    activity_from_document,
    decode_cursor,
    encode_cursor,
    plain,
    record_from_document,
    to_document,
)
from parcela.repositories.maintenance.sql import ACTIVITY_LIST, exists, list_name
from parcela.repositories.maintenance.store import (
    Activity,
    ActivityPage,
    MaintenanceRecord,
    MonthCount,
    PendingChange,
    RecordFilter,
    RecordPage,
)

RECORDS = "maintenance_records"
ACTIVITY = "activity"
MOVES = "moves"
EXPORT_ROWS = 500
FOLDED = "folded"
_SEARCHED = ("company", "technician", "notes")
_SEEN: Document = {"record": {"$exists": True}}


class _LastOfPlans:
    """The part of ``OutsideStore`` that the days of plans follow from."""

    def __init__(self, mongo: Mongo) -> None:
        """Take the client."""
        self._mongo = mongo

    async def last_of_plan(
        self, plan_id: int, machine_id: int, *, finished_since: datetime | None = None
    ) -> date | None:
        """See the port."""
        return await self.last_of_plan_but(plan_id, machine_id, (), finished_since)

    async def last_of_plan_but(
        self, plan_id: int, machine_id: int, but: Collection[str], finished_since: datetime | None = None
    ) -> date | None:
        """See the port."""
        done = MaintenanceState.DONE.value
        wanted: Document = {"record.plan_id": plan_id, "record.machine_id": machine_id, "record.state": done}
        if finished_since is not None:
            wanted["record.finished_at"] = {"$gte": plain(finished_since)}
        if but:
            wanted["_id"] = {"$nin": list(but)}
        async with self._mongo.answering() as database:
            found = await database[RECORDS].find_one(wanted, sort=[("record.performed_on", DESCENDING)])
        return date.fromisoformat(found["record"]["performed_on"]) if found else None

    async def last_of_plans(self, plan_ids: Sequence[int]) -> Mapping[int, date]:
        """See the port."""
        wanted: Document = {"record.plan_id": {"$in": list(plan_ids)}, "record.state": MaintenanceState.DONE.value}
        group: Document = {"_id": "$record.plan_id", "day": {"$max": "$record.performed_on"}}
        async with self._mongo.answering() as database:
            rows = await (await database[RECORDS].aggregate([{"$match": wanted}, {"$group": group}])).to_list()
        return {row["_id"]: date.fromisoformat(row["day"]) for row in rows}


class MongoMaintenanceStore(_LastOfPlans):
    """Implements ``OutsideStore``."""

    def __init__(self, mongo: Mongo) -> None:
        """Take the client; indexes are made whenever the server is there."""
        super().__init__(mongo)
        mongo.prepare(self._make_indexes)
        mongo.prepare(partial(_fold_older, mongo))

    async def _make_indexes(self) -> None:
        await self._mongo.database[RECORDS].create_indexes(
            [
                IndexModel([("record.performed_on", DESCENDING), ("_id", DESCENDING)], name="by_day"),
                IndexModel([("record.machine_id", ASCENDING), ("record.performed_on", DESCENDING)], name="by_machine"),
                IndexModel([("pending.change_id", ASCENDING)], name="by_change", sparse=True),
                IndexModel([("record.plan_id", ASCENDING), ("record.performed_on", DESCENDING)], name="by_plan"),
            ]
        )

    async def add(self, record: MaintenanceRecord) -> None:
        """See the port."""
        await self._insert(record.id, {"record": _stored(record)})

    async def get(self, record_id: str) -> MaintenanceRecord | None:
        """See the port."""
        async with self._mongo.answering() as database:
            found = await database[RECORDS].find_one({"_id": record_id, **_SEEN})
        return record_from_document(found["record"]) if found else None

    async def update(self, record: MaintenanceRecord) -> bool:
        """See the port."""
        return await self._set(record.id, {"record": _stored(record)})

    async def delete(self, record_id: str) -> bool:
        """See the port."""
        async with self._mongo.answering() as database:
            done = await database[RECORDS].delete_one({"_id": record_id, **_SEEN})
        return done.deleted_count > 0

    async def page(
        self, wanted: RecordFilter, *, limit: int = 50, cursor: str | None = None, newest_first: bool = True
    ) -> RecordPage:
        """See the port."""
        name = list_name(newest_first=newest_first)
        past, direction = ("$lt", DESCENDING) if newest_first else ("$gt", ASCENDING)
        conditions = _conditions(wanted)
        if cursor:
            day, last_id = decode_cursor(cursor, name, timed=False)
            conditions.append(_behind("record.performed_on", day.isoformat(), last_id, past))
        async with self._mongo.answering() as database:
            found = database[RECORDS].find({"$and": conditions})
            found = found.sort([("record.performed_on", direction), ("_id", direction)]).limit(limit + 1)
            rows = await found.to_list()
        records = [record_from_document(row["record"]) for row in rows[:limit]]
        more = len(rows) > limit
        return RecordPage(records, encode_cursor(name, records[-1].performed_on, records[-1].id) if more else None)

    async def count(self, wanted: RecordFilter) -> int:
        """See the port."""
        async with self._mongo.answering() as database:
            return await database[RECORDS].count_documents({"$and": _conditions(wanted)})

    async def month_counts(self, wanted: RecordFilter) -> list[MonthCount]:
        """See the port."""
        month = {"$substrCP": ["$record.performed_on", 0, 7]}
        group = {"_id": {"month": month, "kind": "$record.kind"}, "count": {"$sum": 1}}
        rows = await self._grouped(wanted, group)
        counts = [
            MonthCount(
                date.fromisoformat(f"{row['_id']['month']}-01"), MaintenanceKind(row["_id"]["kind"]), row["count"]
            )
            for row in rows
        ]
        return sorted(counts, key=lambda count: (count.month, count.kind.value))

    async def last_performed(self, machine_ids: Sequence[int] | None = None) -> Mapping[int, date]:
        """See the port."""
        wanted = RecordFilter(None if machine_ids is None else tuple(machine_ids), state=MaintenanceState.DONE)
        rows = await self._grouped(wanted, {"_id": "$record.machine_id", "day": {"$max": "$record.performed_on"}})
        return {row["_id"]: date.fromisoformat(row["day"]) for row in rows}

    async def export(self, wanted: RecordFilter | None = None) -> AsyncIterator[MaintenanceRecord]:
        """See the port."""
        conditions, last = _conditions(wanted or RecordFilter()), ""
        while True:
            async with self._mongo.answering() as database:
                part = database[RECORDS].find({"$and": [*conditions, {"_id": {"$gt": last}}]})
                rows = await part.sort("_id", ASCENDING).limit(EXPORT_ROWS).to_list()
            for row in rows:
                yield record_from_document(row["record"])
            if len(rows) < EXPORT_ROWS:
                return
            last = rows[-1]["_id"]

    async def import_record(self, record: MaintenanceRecord) -> None:
        """See the port."""
        async with self._mongo.answering() as database:
            change = {"$set": {"record": _stored(record)}}
            await database[RECORDS].update_one({"_id": record.id}, change, upsert=True)

    # ---- changes in two steps

    async def stage_add(self, change_id: str, record: MaintenanceRecord) -> None:
        """See the port."""
        await self._insert(record.id, {"pending": _pending(change_id, record.machine_id, record)})

    async def stage_update(self, change_id: str, record: MaintenanceRecord) -> bool:
        """See the port."""
        return await self._set(record.id, {"pending": _pending(change_id, record.machine_id, record)})

    async def stage_delete(self, change_id: str, record_id: str) -> bool:
        """See the port."""
        record = await self.get(record_id)
        return record is not None and await self._set(
            record_id, {"pending": _pending(change_id, record.machine_id, None)}
        )

    async def confirm(self, change_id: str) -> None:
        """See the port."""
        noted = {"pending.change_id": change_id}
        async with self._mongo.answering() as database:
            await database[RECORDS].delete_many({**noted, "pending.record": None})
            await database[RECORDS].update_many(noted, [{"$set": {"record": "$pending.record"}}, {"$unset": "pending"}])

    async def discard(self, change_id: str) -> None:
        """See the port."""
        noted = {"pending.change_id": change_id}
        async with self._mongo.answering() as database:
            await database[RECORDS].delete_many({**noted, "record": {"$exists": False}})
            await database[RECORDS].update_many(noted, {"$unset": {"pending": ""}})

    async def pending(self, record_ids: Sequence[str] | None = None, *, limit: int = 100) -> list[PendingChange]:
        """See the port."""
        wanted: Document = {"pending.change_id": {"$exists": True}}
        if record_ids is not None:
            wanted["_id"] = {"$in": list(record_ids)}
        group = {"_id": "$pending.change_id", "machines": {"$addToSet": "$pending.machine_id"}}
        async with self._mongo.answering() as database:
            steps: list[Document] = [{"$match": wanted}, {"$group": group}, {"$sort": {"_id": 1}}, {"$limit": limit}]
            rows = await (await database[RECORDS].aggregate(steps)).to_list()
        return [PendingChange(row["_id"], tuple(sorted(row["machines"]))) for row in rows]

    # ---- small parts

    async def _insert(self, record_id: str, fields: Document) -> None:
        async with self._mongo.answering() as database:
            try:
                await database[RECORDS].insert_one({"_id": record_id, **fields})
            except DuplicateKeyError as exc:
                raise exists(record_id) from exc

    async def _set(self, record_id: str, fields: Document) -> bool:
        async with self._mongo.answering() as database:
            done = await database[RECORDS].update_one({"_id": record_id, **_SEEN}, {"$set": fields})
        return done.matched_count > 0

    async def _grouped(self, wanted: RecordFilter, group: Document) -> list[Document]:
        async with self._mongo.answering() as database:
            found = await database[RECORDS].aggregate([{"$match": {"$and": _conditions(wanted)}}, {"$group": group}])
            return await found.to_list()


class MongoActivityStore:
    """Implements ``ActivityStore``."""

    def __init__(self, mongo: Mongo) -> None:
        """Take the client; indexes are made whenever the server is there."""
        self._mongo = mongo
        mongo.prepare(self._make_indexes)

    async def _make_indexes(self) -> None:
        await self._mongo.database[ACTIVITY].create_indexes(
            [
                IndexModel([("at", DESCENDING), ("_id", DESCENDING)], name="by_time"),
                IndexModel([("machine_id", ASCENDING), ("at", DESCENDING)], name="by_machine"),
            ]
        )

    async def append(self, entries: Sequence[Activity]) -> None:
        """See the port."""
        first = {entry.id: entry for entry in reversed(entries)}
        if not first:
            return
        writes = [
            UpdateOne({"_id": key}, {"$setOnInsert": to_document(entry)}, upsert=True) for key, entry in first.items()
        ]
        async with self._mongo.answering() as database:
            await database[ACTIVITY].bulk_write(writes, ordered=False)

    async def page(self, *, machine_id: int | None = None, limit: int = 50, cursor: str | None = None) -> ActivityPage:
        """See the port."""
        wanted: Document = {} if machine_id is None else {"machine_id": machine_id}
        if cursor:
            at, last_id = decode_cursor(cursor, ACTIVITY_LIST, timed=True)
            wanted |= _behind("at", plain(at), last_id, "$lt")
        async with self._mongo.answering() as database:
            found = database[ACTIVITY].find(wanted).sort([("at", DESCENDING), ("_id", DESCENDING)])
            rows = await found.limit(limit + 1).to_list()
        entries = [activity_from_document(row) for row in rows[:limit]]
        more = len(rows) > limit
        return ActivityPage(entries, encode_cursor(ACTIVITY_LIST, entries[-1].at, entries[-1].id) if more else None)

    async def count(self) -> int:
        """See the port."""
        async with self._mongo.answering() as database:
            return await database[ACTIVITY].count_documents({})

    async def export(self) -> AsyncIterator[Activity]:
        """See the port."""
        last = ""
        while True:
            async with self._mongo.answering() as database:
                part = database[ACTIVITY].find({"_id": {"$gt": last}}).sort("_id", ASCENDING)
                rows = await part.limit(EXPORT_ROWS).to_list()
            for row in rows:
                yield activity_from_document(row)
            if len(rows) < EXPORT_ROWS:
                return
            last = rows[-1]["_id"]

    async def forget_machine(self, machine_id: int) -> int:
        """See the port."""
        async with self._mongo.answering() as database:
            done = await database[ACTIVITY].delete_many({"machine_id": machine_id})
        return done.deleted_count

    async def remove(self, ids: Sequence[str]) -> None:
        """Forget entries that are somewhere else now."""
        async with self._mongo.answering() as database:
            await database[ACTIVITY].delete_many({"_id": {"$in": list(ids)}})


class MoveMarker:
    """How far a move between stores has come; only while one is under way."""

    def __init__(self, mongo: Mongo) -> None:
        """Take the client."""
        self._mongo = mongo

    async def read(self) -> Document | None:
        """What was written last, None when no move is under way."""
        async with self._mongo.answering() as database:
            return await database[MOVES].find_one({"_id": "move"})

    async def write(self, facts: Document) -> None:
        """Write it down."""
        async with self._mongo.answering() as database:
            await database[MOVES].replace_one({"_id": "move"}, facts, upsert=True)

    async def clear(self) -> None:
        """The move is done."""
        async with self._mongo.answering() as database:
            await database[MOVES].delete_one({"_id": "move"})


async def _fold_older(mongo: Mongo) -> None:
    """Give the records that an older version stored what the search goes by."""
    records = mongo.database[RECORDS]
    older = {**_SEEN, f"record.{FOLDED}": {"$exists": False}}
    while rows := await records.find(older, {"record": 1}).limit(EXPORT_ROWS).to_list():
        # Only what is still as it was read: whoever has changed it meanwhile did not wait for this.
        changes = [({"_id": row["_id"], "record": row["record"]}, _with_folded(row["record"])) for row in rows]
        await records.bulk_write([UpdateOne(same, {"$set": {"record": new}}) for same, new in changes])


def _pending(change_id: str, machine_id: int, record: MaintenanceRecord | None) -> Document:
    document = _stored(record) if record else None
    return {"change_id": change_id, "machine_id": machine_id, "record": document}


def _stored(record: MaintenanceRecord) -> Document:
    return _with_folded(to_document(record))


def _with_folded(record: Document) -> Document:
    """The document of a record with its texts in NFC, and as they are searched."""
    texts = {name: composed(record[name]) for name in _SEARCHED}
    return {**record, **texts, FOLDED: {name: folded(text) for name, text in texts.items()}}


def _behind(field: str, key: str, last_id: str, past: str) -> Document:
    """What comes after a cursor, in the order of (field, id)."""
    return {"$or": [{field: {past: key}}, {field: key, "_id": {past: last_id}}]}


def _conditions(wanted: RecordFilter) -> list[Document]:
    found: list[Document] = [dict(_SEEN)]
    if wanted.machine_ids is not None:
        found.append({"record.machine_id": {"$in": list(wanted.machine_ids)}})
    if wanted.kind is not None:
        found.append({"record.kind": wanted.kind.value})
    if wanted.state is not None:
        found.append({"record.state": wanted.state.value})
    if wanted.since is not None:
        found.append({"record.performed_on": {"$gte": wanted.since.isoformat()}})
    if wanted.until is not None:
        found.append({"record.performed_on": {"$lte": wanted.until.isoformat()}})
    for name, part in (("company", wanted.company), ("technician", wanted.technician)):
        if part:
            found.append(_has(name, part))
    if wanted.text:
        found.append({"$or": [_has(name, wanted.text) for name in _SEARCHED]})
    return found


def _has(name: str, part: str) -> Document:
    """Whether a field contains a text. No regular expression: what people type is no pattern, and may hold anything."""
    # An older version that is still running stores records without folded texts.
    text = {"$ifNull": [f"$record.{FOLDED}.{name}", {"$toLower": f"$record.{name}"}]}
    return {"$expr": {"$gte": [{"$indexOfCP": [text, {"$literal": folded(part)}]}, 0]}}
