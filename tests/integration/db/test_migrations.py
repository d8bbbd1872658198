"""Every migration runs up and down on every database we support, and agrees with the models."""

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import create_engine, insert, inspect, make_url, select, text
from sqlalchemy.engine import URL

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.db import migrate, schema
from parcela.db.engine import make_engine
from parcela.models import (
    ApiToken,
    Base,
    Flavour,
    Image,
    Template,
    TemplateReference,
    TemplateVersion,
    User,
)

SERVERS = {
    "postgresql": ("PARCELA_TEST_POSTGRES_URL", "PARCELA_TEST_POSTGRES_SKIP"),
    "mariadb": ("PARCELA_TEST_MARIADB_URL", "PARCELA_TEST_MARIADB_SKIP"),
}


def _server(name: str) -> URL:
    variable, skip_variable = SERVERS[name]
    value = os.environ.get(variable)
    if not value:
        reason = os.environ.get(skip_variable) or f"{variable} is not set: run under the test lab"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return make_url(value)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'migrations.db'}"
        return
    server = _server(request.param)
    name = f"migrations_{secrets.token_hex(4)}"
    _administer(server, f"CREATE DATABASE {name}")
    yield server.set(database=name).render_as_string(hide_password=False)
    _administer(server, f"DROP DATABASE {name}")


def _administer(server: URL, command: str) -> None:
    """Run a command of the server itself, with a driver that needs no event loop."""
    if server.get_backend_name() == "postgresql":
        _administer_postgres(server, command)
        return
    engine = create_engine(server.set(drivername="mysql+pymysql"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(command))
    engine.dispose()


def _administer_postgres(server: URL, command: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(server.set(drivername="postgresql").render_as_string(hide_password=False))
        await connection.execute(command)
        await connection.close()

    asyncio.run(run())


def _tables(url: str) -> set[str]:
    async def run() -> set[str]:
        engine = make_engine(url)
        try:
            async with engine.connect() as connection:
                return set(await connection.run_sync(lambda c: inspect(c).get_table_names()))
        finally:
            await engine.dispose()

    return asyncio.run(run())


def _execute(url: str, statement: str) -> None:
    async def run() -> None:
        engine = make_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text(statement))
        await engine.dispose()

    asyncio.run(run())


def test_up_agrees_with_the_models(url: str) -> None:
    migrate.upgrade(url)
    migrate.check(url)
    assert _tables(url) == {table.name for table in Base.metadata.sorted_tables} | {"alembic_version"}


def test_a_start_knows_without_alembic_whether_there_is_something_to_do(url: str) -> None:
    assert not schema.is_current(url)
    migrate.upgrade(url)
    assert schema.is_current(url)
    migrate.downgrade(url, "-1")
    assert not schema.is_current(url)


def test_down_to_nothing_and_up_again(url: str) -> None:
    migrate.upgrade(url)
    migrate.downgrade(url, "base")
    assert _tables(url) == {"alembic_version"}
    migrate.upgrade(url)
    migrate.check(url)


def test_every_step_goes_down_and_up_again(url: str) -> None:
    migrate.upgrade(url)
    for revision in migrate.revisions()[:-1]:
        migrate.downgrade(url, revision)
        migrate.upgrade(url)
    migrate.check(url)


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_a_database_that_cannot_be_reached_is_told_without_its_password(name: str) -> None:
    server = _server(name).set(password="not-to-be-told")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        nowhere = server.set(host="127.0.0.1", port=taken.getsockname()[1], query={})
        for url in (nowhere, server.set(database="there_is_none")):
            with pytest.raises(ParcelaError) as caught:
                migrate.upgrade(url.render_as_string(hide_password=False))
            assert (caught.value.kind, caught.value.code) == (ErrorKind.UNAVAILABLE, "database_unavailable")
            assert f"{url.host}:{url.port}/{url.database}" in caught.value.message
            assert "not-to-be-told" not in caught.value.message


def test_revisions_that_this_version_does_not_know(url: str) -> None:
    newest = migrate.revisions()[-1]
    with pytest.raises(ParcelaError, match=f"'9999'.*{newest}") as caught:
        migrate.upgrade(url, "9999")
    assert (caught.value.kind, caught.value.code) == (ErrorKind.CONFLICT, "schema_unknown")
    migrate.upgrade(url)
    _execute(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ParcelaError, match="a newer one"):
        migrate.upgrade(url)


def test_the_newest_revision_is_the_one_that_alembic_knows() -> None:
    assert schema.newest_revision() == migrate.revisions()[-1]


def test_two_ends_of_the_migrations_are_left_to_alembic(tmp_path: Path) -> None:
    for name, after in (("0001", "None"), ("0002", '"0001"'), ("0003", '"0001"')):
        text_of = f'revision: str = "{name}"\ndown_revision: str | None = {after}\n'
        (tmp_path / f"{name}_step.py").write_text(text_of)
    assert schema.newest_revision(tmp_path) is None
    (tmp_path / "0003_step.py").unlink()
    assert schema.newest_revision(tmp_path) == "0002"


def test_looking_at_a_database_that_is_not_there_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    assert not schema.is_current(f"sqlite:///{path}")
    assert not path.exists()


def _give_tokens(url: str, *scopes: list[str]) -> None:
    """Personal tokens of one user."""

    async def run() -> None:
        engine = make_engine(url)
        then = datetime(2030, 1, 1, tzinfo=UTC)
        async with engine.begin() as connection:
            role_id = (await connection.execute(text("SELECT min(id) FROM roles"))).scalar_one()
            user = {"email": "a@lab.example", "username": "a", "full_name": "", "password_hash": "", "locale": "en"}
            flags = {"role_id": role_id, "is_superuser": False, "is_active": True, "created_at": then}
            await connection.execute(insert(User).values(id=1, **user, **flags))
            for number, held in enumerate(scopes, start=1):
                facts = {"user_id": 1, "kind": "personal", "name": "t", "token_hash": str(number) * 64}
                await connection.execute(insert(ApiToken).values(id=number, scopes=held, created_at=then, **facts))
        await engine.dispose()

    asyncio.run(run())


def _scopes(url: str) -> list[list[str]]:
    async def run() -> list[list[str]]:
        engine = make_engine(url)
        async with engine.connect() as connection:
            rows = (await connection.execute(select(ApiToken.scopes).order_by(ApiToken.id))).scalars().all()
        await engine.dispose()
        return [list(row) for row in rows]

    return asyncio.run(run())


def _template_of(url: str, *documents: dict[str, Any]) -> None:
    """Flavour 901 and image 901, and a template whose versions have these documents."""

    async def run() -> None:
        engine = make_engine(url)
        then = datetime(2030, 1, 1, tzinfo=UTC)
        async with engine.begin() as connection:
            size = {"vcpus": 1, "memory_mib": 128, "disk_gib": 1}
            await connection.execute(insert(Flavour).values(id=901, name="lecture", created_at=then, **size))
            file = {"format": "raw", "sha256": "0" * 64, "size_bytes": 1, "virtual_size_bytes": 1, "path": "/x"}
            await connection.execute(insert(Image).values(id=901, name="debian", created_at=then, **file))
            dates = {"created_at": then, "updated_at": then, "version": len(documents)}
            await connection.execute(insert(Template).values(id=1, name="T", owner_id=1, **dates))
            for number, document in enumerate(documents, start=1):
                facts = {"template_id": 1, "version": number, "document": document, "created_at": then}
                await connection.execute(insert(TemplateVersion).values(id=number, **facts))
        await engine.dispose()

    asyncio.run(run())


def _references(url: str) -> list[tuple[Any, ...]]:
    async def run() -> list[tuple[Any, ...]]:
        columns = ("version_id", "kind", "name", "image_id", "flavour_id", "is_resolved")
        engine = make_engine(url)
        async with engine.connect() as connection:
            query = select(*(getattr(TemplateReference, column) for column in columns)).order_by(TemplateReference.id)
            rows = [tuple(row) for row in await connection.execute(query)]
        await engine.dispose()
        return rows

    return asyncio.run(run())


def test_the_names_in_stored_documents_are_resolved(url: str) -> None:
    migrate.upgrade(url)
    _give_tokens(url)
    vms = [{"name": "a", "image": "debian", "flavour": "lecture"}, {"name": "b", "image": "debian", "flavour": None}]
    other = [{"name": "a", "image": "gone", "flavour": "Lecture"}]
    odd: list[dict[str, Any]] = [{}, {"vms": None}, {"vms": ["x", {"image": 7, "flavour": ""}]}]
    _template_of(url, {"vms": vms}, {"vms": vms + other}, *odd, *({"vms": other} for _ in range(40)))
    known = migrate.revisions()
    migrate.downgrade(url, known[known.index("0022") - 1])
    migrate.upgrade(url)
    found = _references(url)
    assert found[:6] == [
        (1, "image", "debian", 901, None, True),
        (1, "flavour", "lecture", None, 901, True),
        (2, "image", "debian", 901, None, True),
        (2, "flavour", "lecture", None, 901, True),
        (2, "image", "gone", None, None, False),
        (2, "flavour", "Lecture", None, None, False),
    ]
    assert [row[0] for row in found[6:]] == [number for number in range(6, 46) for _ in range(2)]


def test_an_older_version_does_not_take_a_new_verb_for_all_writing(url: str) -> None:
    migrate.upgrade(url)
    given = [["vm:power", "slice:create"], ["webhook:delete"], ["vm:*"], ["host:write", "project:leave"]]
    _give_tokens(url, *given)
    known = migrate.revisions()
    migrate.downgrade(url, known[known.index("0010") - 1])
    assert _scopes(url) == [["slice:create", "vm:read"], [], ["vm:*"], ["host:write", "project:read"]]
    migrate.upgrade(url)


def test_plans_of_before_keep_their_dates_and_follow_their_records_then(url: str) -> None:
    migrate.upgrade(url)
    known = migrate.revisions()
    migrate.downgrade(url, known[known.index("0024") - 1])
    _execute(
        url,
        "INSERT INTO machines (id, code, type, area, status, serial, notes, registered_on, custom_fields, created_at, "
        "updated_at) VALUES (1, 'A', 'PC', '', 'operational', '', '', '2025-12-31', '{}', '2026-01-02 10:00:00', "
        "'2026-01-02 10:00:00'), (2, 'B', 'PC', '', 'operational', '', '', '2026-01-02', '{}', '2026-01-02 10:00:00', "
        "'2026-01-02 10:00:00')",
    )
    plans = {
        1: ("2026-03-01", "30", "NULL", "true"),  # never done
        2: ("2036-03-31", "30", "'2036-03-01'", "true"),  # carried on by a record of 2036
        3: ("2026-08-01", "30", "'2026-02-01'", "true"),  # moved by somebody after the work
        4: ("2026-03-01", "NULL", "'2026-02-01'", "false"),  # once, and over
        5: ("2026-03-01", "30", "NULL", "false"),  # called off
    }
    for number, (due, interval, done, active) in plans.items():
        values = f"{number}, 1, 't', 'preventive', '{due}', {interval}, 7, '{due}', '', '', '', {active}, {done}"
        times = "'2026-01-05 10:00:00', '2026-02-03 10:00:00'"
        columns = (
            "id, machine_id, title, kind, next_due_on, interval_days, remind_days_before, remind_on, company, "
            "technician, notes, active, last_done_on, created_at, updated_at"
        )
        _execute(url, f"INSERT INTO maintenance_plans ({columns}) VALUES ({values}, {times})")  # noqa: S608
    migrate.upgrade(url)
    assert _rows(url, "SELECT registered_on_given FROM machines ORDER BY id") == [(True,), (False,)]
    found = _rows(url, "SELECT next_due_on, given_due_on, given_due_at, called_off FROM maintenance_plans ORDER BY id")
    days = [(str(due), str(given), at is not None, bool(off)) for due, given, at, off in found]
    assert days == [
        ("2026-03-01", "2026-03-01", False, False),
        ("2036-03-31", "2026-01-05", False, False),
        ("2026-08-01", "2026-08-01", True, False),
        ("2026-03-01", "2026-03-01", False, False),
        ("2026-03-01", "2026-03-01", False, True),
    ]
    _execute(url, "UPDATE maintenance_plans SET interval_unit = 'months', interval_days = 2 WHERE id = 1")
    migrate.downgrade(url, known[known.index("0024") - 1])
    assert _rows(url, "SELECT interval_days FROM maintenance_plans WHERE id = 1") == [(60,)]
    migrate.upgrade(url)


def _rows(url: str, statement: str) -> list[tuple[object, ...]]:
    async def run() -> list[tuple[object, ...]]:
        engine = make_engine(url)
        async with engine.connect() as connection:
            rows = (await connection.execute(text(statement))).all()
        await engine.dispose()
        return [tuple(row) for row in rows]

    return asyncio.run(run())
