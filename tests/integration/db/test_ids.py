"""No id is used twice: not on any database, not after an upgrade of tables that did, not after a power cut."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from parcela.db import migrate
from parcela.db.engine import make_engine
from parcela.models import Base
from tests.support.daemons import own_mariadb
from tests.support.servers import empty_database, why_missing

NUMBERED_ELSEWHERE = {"events"}  # by a row of "counters", under a lock that is held until the commit
KNOWN = migrate.revisions()
BEFORE = KNOWN[KNOWN.index("0021") - 1]
THEN = "2026-01-02 03:04:05.000006"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
BIG = 4000


def _sqlite(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def _numbered(path: Path) -> dict[str, str]:
    """What made each table whose key is one INTEGER that refers to no other table, by its name."""
    found = {}
    for name, made in _sqlite(path, "SELECT name, sql FROM sqlite_master WHERE type = 'table'"):
        keys = _sqlite(path, "SELECT name, type FROM pragma_table_info(?) WHERE pk", name)
        referring = {row[0] for row in _sqlite(path, 'SELECT "from" FROM pragma_foreign_key_list(?)', name)}
        if [kind for _, kind in keys] == ["INTEGER"] and keys[0][0] not in referring:
            found[str(name)] = str(made)
    return found


def test_every_table_of_sqlite_that_numbers_its_rows_uses_a_number_once(tmp_path: Path) -> None:
    """Also those of later migrations: ``sqlite_autoincrement=True`` of ``op.create_table``."""
    path = tmp_path / "parcela.db"
    migrate.upgrade(f"sqlite:///{path}")
    tables = _numbered(path)
    assert set(tables) > {"users", "operations", "roles", "audit_entries"}
    assert {name for name, made in tables.items() if "AUTOINCREMENT" not in made} == NUMBERED_ELSEWHERE


def test_models_say_the_same() -> None:
    for table in Base.metadata.sorted_tables:
        numbered = [key.autoincrement for key in table.primary_key.columns] == [True]
        assert bool(table.dialect_options["sqlite"]["autoincrement"]) == numbered, table.name


# ---- rows that come, go and come again

ROWS: dict[str, Callable[[int], dict[str, object]]] = {
    "roles": lambda number: {"name": f"r{number}", "created_at": NOW},
    "flavours": lambda number: {"name": f"f{number}", "vcpus": 1, "memory_mib": 128, "disk_gib": 1, "created_at": NOW},
    "zones": lambda number: {"name": f"z{number}", "provider": "simulated", "created_at": NOW},
    "users": lambda number: {
        "username": f"u{number}",
        "email": f"u{number}@lab.example",
        "password_hash": "",
        "role_id": 1,
        "created_at": NOW,
    },
}


def _within(url: str, work: Callable[[AsyncConnection], Awaitable[int]]) -> int:
    """One transaction of a process that was not there before: what one remembers is no proof."""

    async def run() -> int:
        engine = make_engine(url)
        try:
            async with engine.begin() as connection:
                return await work(connection)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def _add(url: str, table: str, number: int) -> int:
    """A new row; its id."""
    statement = insert(Base.metadata.tables[table]).values(ROWS[table](number))

    async def work(connection: AsyncConnection) -> int:
        key = (await connection.execute(statement)).inserted_primary_key
        assert key is not None
        return int(key[0])

    return _within(url, work)


def _remove(url: str, table: str, row_id: int) -> None:
    rows = Base.metadata.tables[table]

    async def work(connection: AsyncConnection) -> int:
        return (await connection.execute(delete(rows).where(rows.c.id == row_id))).rowcount

    assert _within(url, work) == 1


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database of each kind."""
    if reason := why_missing(request.param):
        pytest.skip(reason)
    with empty_database(request.param, tmp_path) as made:
        migrate.upgrade(made)
        yield made


@pytest.mark.parametrize("table", ROWS)
def test_the_number_of_a_row_that_was_removed_does_not_come_back(url: str, table: str) -> None:
    first, second = _add(url, table, 1), _add(url, table, 2)
    _remove(url, table, second)
    _remove(url, table, first)
    assert first < second < _add(url, table, 3)


@pytest.mark.database
def test_mariadb_remembers_over_a_power_cut(tmp_path: Path) -> None:
    with own_mariadb(tmp_path) as server:
        migrate.upgrade(server.url)
        used = {table: _add(server.url, table, 1) for table in ROWS}
        for table, row_id in used.items():
            _remove(server.url, table, row_id)
        server.kill()
        server.start()
        assert all(_add(server.url, table, 2) > row_id for table, row_id in used.items())


# ---- the upgrade of what used ids again

ENTRY = {
    "at": THEN,
    "actor_name": "b",
    "actor_role": "admin",
    "noun_name": "",
    "address": "",
    "user_agent": "",
    "request_id": "",
}
TOKEN = {"kind": "personal", "name": "t", "token_hash": "h", "family": "", "scopes": '["*"]', "ip": ""}
USER = {"email": "a@lab.example", "username": "a", "full_name": 'Ñ "x"', "password_hash": "", "locale": "es"}
TYPED = f'{{"id": {BIG}, "zone_id": {BIG}}}'
HUGE = 2**63 - 1
OLD_ROWS: Sequence[tuple[str, dict[str, object]]] = (
    ("zones", {"id": 3, "name": "lab", "description": "", "provider": "simulated", "created_at": THEN}),
    ("users", {"id": 5, "role_id": 1, "is_superuser": 0, "is_active": 1, "created_at": THEN, **USER}),
    ("api_tokens", {"id": 2, "user_id": 5, "created_at": THEN, **TOKEN}),
    (
        "audit_entries",
        {"id": 9, "action": "role.deleted", "outcome": "ok", "actor_id": 40, "token_id": 61, "noun": "role"}
        | {"noun_id": str(BIG), "facts": f'{{"id": {HUGE}, "project_id": 12}}', **ENTRY},
    ),
    (
        "audit_entries",
        {"id": 10, "action": "zone.deleted", "outcome": "refused", "noun": "zone", "noun_id": "77", "facts": TYPED}
        | ENTRY,
    ),
    ("events", {"id": 1, "type": "user.deleted", "at": THEN, "data": '{"user_id": 77, "username": "gone"}'}),
    ("events", {"id": 2, "type": "flavour.deleted", "at": THEN, "owner_id": 76, "vm_id": 31, "data": '{"id": 50}'}),
    ("events", {"id": 3, "type": "webhook.deleted", "at": THEN, "data": '{"id": true, "webhook_id": "7"}'}),
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database of the version before, with some rows and traces of others."""
    path = tmp_path / "parcela.db"
    migrate.upgrade(f"sqlite:///{path}", BEFORE)
    for table, row in OLD_ROWS:
        columns = ", ".join(row)
        _sqlite(path, f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})", *row.values())  # noqa: S608
    return path


def _contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables but those that SQLite and Alembic keep for themselves."""
    names = [row[0] for row in _sqlite(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    kept = {"sqlite_sequence", "alembic_version"}
    return {str(name): _sqlite(path, f'SELECT * FROM "{name}"') for name in names if name not in kept}  # noqa: S608


def _around(path: Path) -> list[tuple[object, ...]]:
    return _sqlite(path, "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type <> 'table' ORDER BY 1, 2")


def _references(path: Path) -> dict[str, list[tuple[object, ...]]]:
    query = 'SELECT "table", "from", "to", on_delete FROM pragma_foreign_key_list(?) ORDER BY 1, 2'
    return {name: _sqlite(path, query, name) for name in _contents(path)}


def test_an_upgrade_keeps_rows_indexes_triggers_and_references(old: Path) -> None:
    url = f"sqlite:///{old}"
    rows, around, references = _contents(old), _around(old), _references(old)
    columns = {name: _sqlite(old, "SELECT * FROM pragma_table_info(?)", name) for name in rows}
    migrate.upgrade(url, "0021")
    assert _contents(old) == rows
    # Those that SQLite makes for UNIQUE have no text, and names by their number.
    assert [row for row in _around(old) if row[3]] == [row for row in around if row[3]]
    assert len(_around(old)) == len(around)
    assert _references(old) == references
    assert {name: _sqlite(old, "SELECT * FROM pragma_table_info(?)", name) for name in rows} == columns
    with pytest.raises(sqlite3.IntegrityError, match="never changed or removed"):
        _sqlite(old, "DELETE FROM audit_entries WHERE id = 9 AND at > datetime('now', '-1 day') OR id = 10")
    with pytest.raises(sqlite3.IntegrityError, match="never changed or removed"):
        _sqlite(old, "UPDATE audit_entries SET facts = '{}'")
    assert _sqlite(old, "PRAGMA foreign_key_check") == []
    assert _sqlite(old, "PRAGMA integrity_check") == [("ok",)]


def _next(path: Path) -> dict[str, int]:
    """The last number given, by table."""
    return {str(name): int(str(seq)) for name, seq in _sqlite(path, "SELECT name, seq FROM sqlite_sequence")}


def test_numbers_go_on_after_all_that_rows_events_and_the_audit_trail_remember(old: Path) -> None:
    migrate.upgrade(f"sqlite:///{old}", "0021")
    last = _next(old)
    assert {
        name: last[name]
        for name in ("users", "roles", "flavours", "virtual_machines", "api_tokens", "projects", "zones")
    } == {
        "users": 77,  # of an event, though the highest row is 5
        "roles": BIG,  # of the audit trail
        "flavours": 50,
        "virtual_machines": 31,
        "api_tokens": 61,
        "projects": 12,
        "zones": 3,  # of its rows: what a refused request named was only typed
    }
    assert last["webhooks"] == 0


def test_numbers_stay_known_when_it_goes_down_and_up_again(old: Path) -> None:
    url = f"sqlite:///{old}"
    migrate.upgrade(url, "0021")
    rows, last = _contents(old), _next(old)
    migrate.downgrade(url, BEFORE)
    assert _contents(old) == rows
    used = _sqlite(
        old, "INSERT INTO flavours SELECT NULL, 'f', 1, 128, 1, created_at FROM flavours LIMIT 1 RETURNING id"
    )
    _sqlite(old, "DELETE FROM flavours WHERE name = 'f'")
    migrate.upgrade(url, "0021")
    assert _next(old) == {**last, "flavours": used[0][0]}


def test_an_upgrade_that_fails_changes_nothing(old: Path) -> None:
    """A table that is not as migrations make them (the last one by name), so that it fails after the others."""
    rows = _contents(old)
    _sqlite(old, "CREATE TABLE zzz (id INTEGER PRIMARY KEY, name TEXT)")
    with pytest.raises(RuntimeError, match="zzz"):
        migrate.upgrade(f"sqlite:///{old}", "0021")
    assert _sqlite(old, "SELECT version_num FROM alembic_version") == [(BEFORE,)]
    assert "AUTOINCREMENT" not in _numbered(old)["users"]
    assert _contents(old) == {**rows, "zzz": []}
