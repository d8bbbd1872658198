"""SQLite numbers rows by AUTOINCREMENT: the id of a row that was removed is never given to another one.

PostgreSQL's sequences and InnoDB's counters (kept over restarts since MariaDB 10.2.4 and MySQL 8) are that way already:
nothing is done there.

Revision: 0021
After: 0019
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NUMBERED_ELSEWHERE = frozenset({"events"})  # by a row of "counters", which no one removes
REMEMBERED: Mapping[str, Sequence[str]] = {
    "api_tokens": ("audit_entries.token_id", "console_tickets.token_id"),
    "hosts": ("operation_steps.host_id",),
    "images": ("operation_steps.image_id",),
    "machines": ("activity_log.machine_id", "maintenance_records.machine_id"),
    "maintenance_plans": ("maintenance_records.plan_id",),
    "operations": ("events.operation_id", "slices.operation_id", "virtual_machines.operation_id"),
    "projects": ("events.project_id", "operations.project_id", "slices.project_id", "virtual_machines.project_id"),
    "quotas": ("reservations.quota_id",),
    "segments": ("operation_steps.segment_id",),
    "slices": ("events.slice_id",),
    "users": (
        "activity_log.actor_id",
        "audit_entries.actor_id",
        "audit_refusals.actor_id",
        "events.actor_id",
        "events.owner_id",
        "maintenance_records.author_id",
    ),
    "virtual_machines": ("events.vm_id", "operation_steps.vm_id"),
}
"""Columns without a foreign key: they keep ids of rows that are gone."""
NOUNS: Mapping[str, str] = {
    "flavour": "flavours",
    "host": "hosts",
    "image": "images",
    "invitation": "project_invitations",
    "machine": "machines",
    "operation": "operations",
    "plan": "maintenance_plans",
    "project": "projects",
    "role": "roles",
    "slice": "slices",
    "template": "templates",
    "token": "api_tokens",
    "user": "users",
    "vm": "virtual_machines",
    "webhook": "webhooks",
    "zone": "zones",
}
"""What events and audit entries call the rows of a table: ``<noun>_id``, or ``id`` of ``<noun>.<what happened>``."""
MAX_ID = 2**53
"""Nothing above it was ever given by the database: such a number would leave no room for the next ones."""

_KEY = re.compile(r",\s*(?:CONSTRAINT\s+\S+\s+)?PRIMARY KEY \(\"?(?P<column>\w+)\"?\)")


def upgrade() -> None:
    """Write every table of SQLite that is numbered by its database anew, with its rows, indexes and triggers.

    All of it is one transaction. It takes some seconds per million rows, and about as much space as the tables.
    """
    bind = op.get_bind()
    if bind.dialect.name != "sqlite":
        return
    if bind.exec_driver_sql("PRAGMA foreign_keys").scalar():
        # Removing the old table would then remove what refers to it.
        raise RuntimeError("Tables are not written anew while foreign keys are enforced.")
    # A write that changes nothing: the driver begins a transaction before it, and not before CREATE and DROP.
    bind.exec_driver_sql("DELETE FROM alembic_version WHERE 0")
    tables = list(_numbered(bind))
    used = _used(bind)
    broken = _violations(bind)
    for table, definition in tables:
        _rebuild(bind, table, definition)
    for table in {table for table, _ in tables} | used.keys():
        _seed(bind, table, used.get(table, 0))
    if found := _violations(bind) - broken:
        raise RuntimeError(f"Rows refer to others that are not there: {sorted(found)[:10]}")


def _numbered(bind: sa.Connection) -> Iterable[tuple[str, str]]:
    """Tables (and what made them) whose key is one INTEGER that comes from nowhere else, and that reuse ids."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite#_%' ESCAPE '#'"
    for name, definition in bind.exec_driver_sql(f"{query} ORDER BY name").all():
        keys = [row for row in bind.exec_driver_sql(f'PRAGMA table_info("{name}")').all() if row[5]]
        referring = {row[3] for row in bind.exec_driver_sql(f'PRAGMA foreign_key_list("{name}")').all()}
        if len(keys) != 1 or keys[0][2].upper() != "INTEGER" or keys[0][1] in referring:
            continue
        if name not in NUMBERED_ELSEWHERE and "AUTOINCREMENT" not in definition.upper():
            yield name, definition


def _rebuild(bind: sa.Connection, table: str, definition: str) -> None:
    hanging = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL"
    # Those of the audit trail refuse changes: the table must not be without its triggers afterwards.
    around = [row[0] for row in bind.exec_driver_sql(f"{hanging} ORDER BY type, name", (table,)).all()]
    columns = ", ".join(f'"{row[1]}"' for row in bind.exec_driver_sql(f'PRAGMA table_info("{table}")').all())
    new = f"_new_{table}"
    bind.exec_driver_sql(_autoincrement(definition, table, new))
    copy = f'INSERT INTO "{new}" ({columns}) SELECT {columns} FROM "{table}" ORDER BY rowid'  # noqa: S608 (of the schema)
    bind.exec_driver_sql(copy)
    bind.exec_driver_sql(f'DROP TABLE "{table}"')
    bind.exec_driver_sql(f'ALTER TABLE "{new}" RENAME TO "{table}"')
    for statement in around:
        bind.exec_driver_sql(statement)


def _autoincrement(definition: str, table: str, new: str) -> str:
    """The same CREATE TABLE under another name, with the key in its column: only there AUTOINCREMENT may stand."""
    key = _KEY.search(definition)
    if key is None:
        raise RuntimeError(f"The key of {table} is not where a migration puts it: {definition}")
    text = definition[: key.start()] + definition[key.end() :]
    column = re.compile(rf"(\"?\b{key['column']}\b\"? INTEGER NOT NULL)(?=,)")
    text, columns = column.subn(r"\1 PRIMARY KEY AUTOINCREMENT", text, count=1)
    text, heads = re.subn(rf"^CREATE TABLE \"?{table}\"?(?=\s*\()", f'CREATE TABLE "{new}"', text)
    if (columns, heads) != (1, 1):
        raise RuntimeError(f"The table {table} is not written as a migration writes it: {definition}")
    return text


def _used(bind: sa.Connection) -> dict[str, int]:
    """The highest id that other rows remember, by table."""
    used: dict[str, int] = {}

    def remember(table: str, found: object) -> None:
        if isinstance(found, int):
            used[table] = max(found, used.get(table, 0))

    for table, columns in REMEMBERED.items():
        for where, column in (one.split(".") for one in columns):
            query = f'SELECT max("{column}") FROM "{where}" WHERE "{column}" <= {MAX_ID}'  # noqa: S608 (names above)
            remember(table, bind.exec_driver_sql(query).scalar())
    for noun, table in NOUNS.items():
        remember(table, _of_audit(bind, noun))
    finished = "audit_entries WHERE outcome = 'ok'"  # refused ones name whatever was typed
    for told in (_of_facts(bind, "events", "type", "data"), _of_facts(bind, finished, "action", "facts")):
        for table, found in zip(NOUNS.values(), told, strict=True):
            remember(table, found)
    return used


def _of_facts(bind: sa.Connection, rows: str, what: str, facts: str) -> Sequence[object]:
    """The highest id of each noun in the facts of events or of the audit trail, in one look at all of them."""

    def number(path: str) -> str:
        found = f"json_extract({facts}, '$.{path}')"
        return f"CASE WHEN json_type({facts}, '$.{path}') = 'integer' AND {found} <= {MAX_ID} THEN {found} ELSE 0 END"

    whole = (
        f"max({number(f'{noun}_id')}, CASE WHEN {what} LIKE '{noun}.%' THEN {number('id')} ELSE 0 END)"
        for noun in NOUNS
    )
    query = ", ".join(f"max({one})" for one in whole)
    return bind.exec_driver_sql(f"SELECT {query} FROM {rows}").one()  # noqa: S608 (names above)


def _of_audit(bind: sa.Connection, noun: str) -> object:
    """The highest id that a finished action was about."""
    nouns = (noun, "auth") if noun == "user" else (noun, noun)
    query = (
        "SELECT max(CAST(noun_id AS INTEGER)) FROM audit_entries WHERE noun IN (?, ?) AND outcome = 'ok' "  # noqa: S608
        f"AND noun_id <> '' AND noun_id NOT GLOB '*[^0-9]*' AND CAST(noun_id AS INTEGER) <= {MAX_ID}"
    )
    return bind.exec_driver_sql(query, nouns).scalar()


def _seed(bind: sa.Connection, table: str, used: int) -> None:
    """Let numbers go on after the highest one known; a table that was always empty begins with 1."""
    kept = bind.exec_driver_sql("SELECT max(seq) FROM sqlite_sequence WHERE name = ?", (table,)).scalar() or 0
    if used > kept:
        bind.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        bind.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, used))


def _violations(bind: sa.Connection) -> set[tuple[object, ...]]:
    return {tuple(row) for row in bind.exec_driver_sql("PRAGMA foreign_key_check").all()}


def downgrade() -> None:
    """Leave the tables as they are: older versions work with them, and the numbers that were used stay known."""
