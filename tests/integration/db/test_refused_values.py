"""What a database refuses to store is told by its field and what is allowed, whichever database it is."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.models import Base
from tests.support.lab import Lab

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 1, 2, tzinfo=UTC)
FLAVOUR = {"name": "f", "vcpus": 1, "memory_mib": 128, "disk_gib": 1, "created_at": NOW}
USER = {"username": "eve", "email": "eve@lab.example", "password_hash": "", "role_id": 1, "created_at": NOW}
ZONE = {"name": "z", "provider": "simulated", "created_at": NOW}
HUGE = 2**40
INVALID, CONFLICT = ErrorKind.INVALID, ErrorKind.CONFLICT


async def refused(lab: Lab, statement: Any, *rows: Any) -> ParcelaError:
    async def write() -> None:
        async with lab.stack.uows.write() as uow:
            await uow._session.execute(statement, *rows)
            await uow.commit()

    with pytest.raises(ParcelaError) as caught:
        await write()
    assert "does not fit" not in caught.value.message
    return caught.value


def into(table: str, **values: object) -> Any:
    return insert(Base.metadata.tables[table]).values(values)


@pytest.mark.parametrize(
    ("table", "row", "field", "code", "said"),
    [
        ("flavours", FLAVOUR | {"vcpus": 0}, "vcpus", "value_not_allowed", "1 to 128"),
        ("flavours", FLAVOUR | {"memory_mib": 63}, "memory_mib", "value_not_allowed", "64 to 1048576"),
        ("zones", ZONE | {"provider": "cloud"}, "provider", "value_not_allowed", "libvirt, openstack, simulated"),
        ("users", USER | {"id": 900, "role_id": 999}, "role", "reference_missing", "There is no such role."),
        ("flavours", FLAVOUR | {"name": None}, "name", "value_missing", "A value is needed."),
        ("roles", {"name": "client", "created_at": NOW}, "name", "role_exists", "already a role"),
        ("roles", {"id": 1, "name": "twin", "created_at": NOW}, "id", "already_exists", "already one with this id"),
    ],
)
async def test_rows_that_are_not_allowed(
    faulty_anywhere: Lab, table: str, row: dict[str, object], field: str, code: str, said: str
) -> None:
    error = await refused(faulty_anywhere, into(table, **row))
    (problem,) = error.problems
    assert (problem.where, problem.code) == (field, code)
    assert said in problem.what
    assert error.kind is (CONFLICT if "already" in said else INVALID)
    assert said in error.message


@pytest.mark.parametrize(
    ("values", "field", "code", "said"),
    [
        ({"vcpus": 0}, "vcpus", "value_not_allowed", "1 to 128"),
        ({"name": "x" * 65}, "name", "too_long", "At most 64 characters"),
        ({"vcpus": HUGE}, "vcpus", "out_of_range", "-2147483648 to 2147483647"),
        ({"name": None}, "name", "value_missing", "needed"),
    ],
)
async def test_changes_that_are_not_allowed(
    faulty_anywhere: Lab, values: dict[str, object], field: str, code: str, said: str
) -> None:
    lab = faulty_anywhere
    if lab.stack.uows.database.is_sqlite:
        if code == "too_long":
            pytest.skip("SQLite has no limit of characters; schemas have")
        if code == "out_of_range":
            code, said = "value_not_allowed", "1 to 128"  # it keeps every number of 64 bits, so the CHECK speaks
    flavours = Base.metadata.tables["flavours"]
    error = await refused(lab, update(flavours).where(flavours.c.id == 1).values(values))
    (problem,) = error.problems
    assert (error.kind, problem.where, problem.code) == (INVALID, field, code)
    assert said in problem.what


async def test_the_row_of_many_that_is_too_large_is_found(faulty_anywhere: Lab) -> None:
    rows = [FLAVOUR | {"name": f"f{number}", "disk_gib": size} for number, size in enumerate((1, HUGE, 2))]
    error = await refused(faulty_anywhere, insert(Base.metadata.tables["flavours"]), rows)
    assert [problem.where for problem in error.problems] == ["disk_gib"]


async def test_a_number_beyond_all_columns(faulty_anywhere: Lab) -> None:
    error = await refused(faulty_anywhere, into("flavours", **FLAVOUR | {"vcpus": 2**70}))
    assert (error.kind, error.code) == (INVALID, "out_of_range")
    assert error.problems


async def test_what_something_refers_to_stays(faulty_anywhere: Lab) -> None:
    zones = Base.metadata.tables["zones"]
    error = await refused(faulty_anywhere, delete(zones))
    assert (error.kind, error.code) == (CONFLICT, "still_in_use")
    assert "this zone" in error.message
