"""Makes a database with VMs, and the users, hosts and slices they belong to, by its own SQL.

The same rows on SQLite, PostgreSQL and MariaDB: 50 VMs for each owner, spread over the whole table; four for each
slice; a thousand for each host; most run, one in fifty failed and one in fifty is paused; every second has a label.
Names and labels are their own sort keys.
"""

import asyncio
from dataclasses import dataclass

from sqlalchemy import Connection, insert
from sqlalchemy.ext.asyncio import create_async_engine

from parcela.core.clock import utc_now
from parcela.db.engine import async_url
from parcela.db.migrate import upgrade
from parcela.models import Image, Zone

VMS_OF_OWNER, VMS_OF_SLICE, VMS_OF_HOST = 50, 4, 1000
NOW = "'2026-01-01 00:00:00.000000'"
NUMBERS = "WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {})"
USERS = """
INSERT INTO users (email, username, username_sort, full_name, password_hash, role_id, is_superuser, is_active, locale,
  created_at)
{numbers} SELECT {email}, {name}, {name}, '', 'x', {role}, false, true, 'en', {now} FROM numbers"""
HOSTS = """
INSERT INTO hosts (name, name_sort, zone_id, state, vcpus, memory_mib, disk_gib, cpu_overcommit, memory_overcommit,
  disk_overcommit, vcpus_limit, memory_limit_mib, disk_limit_gib, used_vcpus, used_memory_mib, used_disk_gib, facts,
  reachable, last_error, created_at)
{numbers} SELECT {name}, {name}, {zone}, 'maintenance', 64, 131072, 4000, 1, 1, 1, 64, 131072, 4000, 0, 0, 0, '{{}}',
  false, '', {now} FROM numbers"""
SLICES = """
INSERT INTO slices (uuid, name, name_sort, owner_id, zone_id, state, crash_policy, error, generation, created_at,
  updated_at)
{numbers} SELECT {uuid}, {name}, {name}, {users} + (i - 1) % {owners}, {zone}, 'running', 'error', '', 1, {now}, {now}
  FROM numbers"""
VMS = """
INSERT INTO virtual_machines (uuid, name, name_sort, label, label_sort, slice_id, owner_id, zone_id, host_id, image_id,
  flavour_id, cores, memory_mib, disk_gib, state, desired, crash_policy, error, generation, guest, created_at,
  updated_at)
{numbers} SELECT {uuid}, {name}, {name}, {label}, {label}, {slices} + (i - 1) {div} 4,
  {users} + (i - 1) {div} 4 % {owners}, {zone}, {hosts} + i % {host_count}, {image}, {flavour}, 1, 128, 1,
  CASE i % 50 WHEN 7 THEN 'error' WHEN 9 THEN 'paused' ELSE 'running' END, 'running', 'error', '', 1, '{{}}', {now},
  {now} FROM numbers"""


@dataclass(frozen=True, slots=True)
class Filled:
    """The first ids; those of all rows follow each other."""

    vm: int
    slice: int
    user: int
    host: int


def fill(url: str, count: int) -> Filled:
    """Migrate an empty database and store so many VMs."""
    upgrade(url)
    return asyncio.run(_fill(url, count))


async def _fill(url: str, count: int) -> Filled:
    engine = create_async_engine(async_url(url), isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_furnish)
        # Without parameters: % is a sign of SQL here.
        async with engine.execution_options(no_parameters=True).connect() as connection:
            return await connection.run_sync(_insert, count)
    finally:
        await engine.dispose()


def _furnish(connection: Connection) -> None:
    """What a VM refers to; a server that starts makes them too."""
    now = utc_now()
    connection.execute(insert(Zone).values(name="bench", provider="simulated", created_at=now))
    sizes = {"size_bytes": 1, "virtual_size_bytes": 1}
    made = {"name": "bench", "format": "raw", "sha256": "0" * 64, "path": "bench", "created_at": now, **sizes}
    connection.execute(insert(Image).values(**made))


def _insert(connection: Connection, count: int) -> Filled:
    dialect = connection.dialect.name
    maria = dialect in {"mysql", "mariadb"}
    if maria:
        connection.exec_driver_sql("SET SESSION max_recursive_iterations = 4294967295, sql_mode = 'PIPES_AS_CONCAT'")
    uuids = {"sqlite": "printf('%032x', i)", "postgresql": "lpad(to_hex(i), 32, '0')"}
    facts: dict[str, object] = {"now": NOW, "uuid": uuids.get(dialect, "lpad(hex(i), 32, '0')")}
    facts |= {
        "div": "DIV" if maria else "/",
        "owners": -(-count // VMS_OF_OWNER),
        "host_count": -(-count // VMS_OF_HOST),
    }
    for name, table in {"role": "roles", "zone": "zones", "image": "images", "flavour": "flavours"}.items():
        facts[name] = connection.exec_driver_sql(f"SELECT min(id) FROM {table}").scalar_one()  # noqa: S608
    counts = {"users": facts["owners"], "hosts": facts["host_count"], "slices": -(-count // VMS_OF_SLICE)}
    shown = "CAST(i AS CHAR)" if maria else "CAST(i AS TEXT)"
    for table, statement in {"users": USERS, "hosts": HOSTS, "slices": SLICES, "virtual_machines": VMS}.items():
        before = connection.exec_driver_sql(f"SELECT coalesce(max(id), 0) FROM {table}").scalar_one()  # noqa: S608
        until = counts.get(table, count)
        facts["numbers"] = NUMBERS.format(until)
        facts["label"] = f"CASE i % 2 WHEN 0 THEN '' ELSE 'bench' || {shown} END"
        facts["name"], facts["email"] = f"'bench' || {shown}", f"'bench' || {shown} || '@example.org'"
        connection.exec_driver_sql(statement.format(**facts))
        first = connection.exec_driver_sql(f"SELECT min(id) FROM {table} WHERE id > {before}").scalar_one()  # noqa: S608
        facts[table] = first
    tables = "users, hosts, slices, virtual_machines"
    settled = {"sqlite": "ANALYZE", "postgresql": "VACUUM ANALYZE"}.get(dialect, f"ANALYZE TABLE {tables}")
    connection.exec_driver_sql(settled)
    return Filled(*(int(str(facts[table])) for table in ("virtual_machines", "slices", "users", "hosts")))
