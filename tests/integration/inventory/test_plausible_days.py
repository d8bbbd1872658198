"""Days that nobody can mean are refused, whoever says them; what was stored before can be corrected."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import httpx2
import pytest

from parcela.models import Machine
from tests.integration.http.inventory import machine, plan, record
from tests.integration.http.lab import Lab, problem

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)


@pytest.fixture
def today(lab: Lab) -> Iterator[date]:
    """A day that does not end before the test."""
    with lab.clock.stopped() as now:
        yield now.date()


def refused(answer: httpx2.Response, code: str, field: str, value: object, first: object, last: object) -> None:
    """The one problem names field, value and both ends."""
    (found,) = problem(answer, 422, code)["problems"]
    assert found["where"] == field
    assert found["what"].startswith(f"{field} is {value}; it must be a day from {first} (")
    assert f" to {last} (" in found["what"]


@pytest.mark.parametrize("state", ["done", "open"])
async def test_a_record_is_not_after_tomorrow_and_not_before_the_machine(lab: Lab, today: date, state: str) -> None:
    made = await machine(lab, registered_on="2020-02-29")
    body = {"machine_id": made["id"], "kind": "preventive", "state": state}
    for day in (date(2036, 5, 1) + (today - date(2026, 1, 1)), today + 2 * DAY, date(2020, 2, 28), date(1969, 12, 31)):
        answer = await lab.call("POST", "/maintenance-records/", "admin", json=body | {"performed_on": str(day)})
        refused(answer, "maintenance_invalid", "performed_on", day, "2020-02-29", today + DAY)
    for day in (date(2020, 2, 29), today, today + DAY):
        assert (await record(lab, **body | {"performed_on": str(day)}))["performed_on"] == str(day)


async def test_a_machine_of_which_nobody_said_when_it_came_may_be_older(lab: Lab, today: date) -> None:
    made = await machine(lab)
    first = date(today.year - 20, today.month, min(today.day, 28))
    body = {"machine_id": made["id"], "kind": "preventive", "state": "done"}
    assert (await record(lab, **body, performed_on=str(first)))["performed_on"] == str(first)
    answer = await lab.call("POST", "/maintenance-records/", "admin", json=body | {"performed_on": str(first - DAY)})
    refused(answer, "maintenance_invalid", "performed_on", first - DAY, first, today + DAY)
    path = f"/machines/{made['id']}"
    assert (await lab.call("PATCH", path, "admin", json={"registered_on": "1999-01-01"})).status_code == 200
    await record(lab, **body, performed_on=str(first - DAY))


async def test_finishing_and_correcting_are_judged_too(lab: Lab, today: date) -> None:
    made = await machine(lab, registered_on="2024-01-01")
    opened = await record(lab, machine_id=made["id"])
    path = f"/maintenance-records/{opened['id']}"
    for method, where in (("POST", f"{path}/finish"), ("PATCH", path)):
        answer = await lab.call(method, where, "admin", json={"performed_on": "2023-12-31"})
        refused(answer, "maintenance_invalid", "performed_on", "2023-12-31", "2024-01-01", today + DAY)
    assert (await lab.call("GET", path, "admin")).json() == opened


async def test_machines_are_registered_on_days_that_were(lab: Lab, today: date) -> None:
    made = await machine(lab)
    body = {"code": lab.unique("PC"), "type": "PC"}
    for day in ("1969-12-31", today + 2 * DAY):
        given = {"registered_on": str(day)}
        for method, where, fields in (("POST", "/machines/", body), ("PATCH", f"/machines/{made['id']}", {})):
            answer = await lab.call(method, where, "admin", json=fields | given)
            refused(answer, "machine_invalid", "registered_on", day, "1970-01-01", today + DAY)


async def test_due_dates_are_those_of_the_machine_and_fifty_years(lab: Lab, today: date) -> None:
    made = await machine(lab, registered_on="2024-01-01")
    last = date(today.year + 50, today.month, min(today.day, 28))
    planned = await plan(lab, machine_id=made["id"], next_due_on=str(last))
    body = {"machine_id": made["id"], "title": "x"}
    for day in (date(2023, 12, 31), last + 5 * DAY):
        given = {"next_due_on": str(day)}
        path = f"/maintenance-plans/{planned['id']}"
        for method, where, fields in (("POST", "/maintenance-plans/", body), ("PATCH", path, {})):
            answer = await lab.call(method, where, "admin", json=fields | given)
            refused(answer, "maintenance_plan_invalid", "next_due_on", day, "2024-01-01", last)


async def test_what_was_stored_before_is_read_and_corrected(lab: Lab, today: date) -> None:
    made = await machine(lab, registered_on="2024-01-01")
    written = await record(lab, machine_id=made["id"], state="done", performed_on="2024-05-05")
    async with lab.services.uows.write() as uow:
        stored = await uow.maintenance.get(written["id"])
        assert stored is not None
        facts: dict[str, Any] = {name: getattr(stored, name) for name in stored.__dataclass_fields__}
        await uow.maintenance.update(type(stored)(**facts | {"performed_on": date(2036, 5, 5)}))
        row: Machine = await uow.machines.get(made["id"])
        row.registered_on = date(2036, 1, 1)
        await uow.commit()
    path = f"/maintenance-records/{written['id']}"
    assert (await lab.call("GET", path, "admin")).json()["performed_on"] == "2036-05-05"
    same = {"performed_on": "2036-05-05", "notes": "as forms send it back"}
    assert (await lab.call("PATCH", path, "admin", json=same)).json()["notes"] == same["notes"]
    path_of_machine = f"/machines/{made['id']}"
    assert (await lab.call("PATCH", path_of_machine, "admin", json={"area": "Lab 3"})).status_code == 200
    assert (await lab.call("PATCH", path_of_machine, "admin", json={"registered_on": "2024-01-01"})).status_code == 200
    corrected = await lab.call("PATCH", path, "admin", json={"performed_on": str(today)})
    assert corrected.json()["performed_on"] == str(today)


async def test_a_machine_is_not_registered_after_work_on_it(lab: Lab) -> None:
    made = await machine(lab, registered_on="2020-01-01")
    await record(lab, machine_id=made["id"], state="done", performed_on="2022-03-01")
    await record(lab, machine_id=made["id"], state="done", performed_on="2021-02-01")
    path = f"/machines/{made['id']}"
    answer = await lab.call("PATCH", path, "admin", json={"registered_on": "2021-02-02"})
    (found,) = problem(answer, 422, "machine_invalid")["problems"]
    assert found["where"] == "registered_on"
    assert "up to 2021-02-01" in found["what"]
    assert (await lab.call("GET", path, "admin")).json()["registered_on"] == "2020-01-01"
    for day in ("2021-02-01", "2019-05-01"):
        assert (await lab.call("PATCH", path, "admin", json={"registered_on": day})).status_code == 200


@pytest.mark.parametrize("value", [0, 1767225600, "1767225600", "86400", 2026.0, True])
async def test_a_number_is_no_day(lab: Lab, value: object) -> None:
    made = await machine(lab, registered_on="1970-01-01")
    answers = [
        await lab.call("PATCH", f"/machines/{made['id']}", "admin", json={"registered_on": value}),
        await lab.call(
            "POST",
            "/maintenance-records/",
            "admin",
            json={"machine_id": made["id"], "kind": "preventive", "performed_on": value},
        ),
    ]
    for answer in answers:
        (found,) = problem(answer, 422, "request_invalid")["problems"]
        assert "written as 2031-01-31" in found["what"]


async def test_a_record_without_cost_is_taken_as_it_was_read(lab: Lab) -> None:
    made = await machine(lab)
    read = await record(lab, machine_id=made["id"])
    names = ("kind", "performed_on", "company", "technician", "notes", "cost_minor", "currency")
    path = f"/maintenance-records/{read['id']}"
    answer = await lab.call("PATCH", path, "admin", json={name: read[name] for name in names})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["cost_minor"], answer.json()["currency"]) == (None, "")
