"""The days of plans follow from their records, on every database and with records in MongoDB; over HTTP."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from parcela.db.migrate import upgrade
from tests.integration.http.inventory import machine, plan
from tests.integration.http.lab import Lab, make_settings, open_lab, problem
from tests.support.fixtures import SERVERS
from tests.support.mongo import drop, fresh_url, why_no_mongo
from tests.support.servers import empty_database, why_missing

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=[*SERVERS, "mongo"])
async def lab(
    request: pytest.FixtureRequest, schema: Path, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Lab]:
    """An installation on each kind of database, and one with records in MongoDB."""
    kind, more = request.param, {}
    folder = tmp_path_factory.mktemp(f"plans-{kind}")
    if reason := why_no_mongo() if kind == "mongo" else why_missing(kind):
        pytest.skip(reason)
    with ExitStack() as stack:
        if kind == "mongo":
            more["MONGO_URL"] = fresh_url()
            stack.callback(drop, more["MONGO_URL"])
        elif kind != "sqlite":
            more["DATABASE_URL"] = stack.enter_context(empty_database(kind, folder))
            upgrade(more["DATABASE_URL"])
        async with open_lab(make_settings(folder / "lab", schema, **more)) as made:
            yield made


async def read(lab: Lab, planned: dict[str, Any]) -> dict[str, Any]:
    answer = await lab.call("GET", f"/maintenance-plans/{planned['id']}", "admin")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def work(lab: Lab, planned: dict[str, Any], day: str) -> str:
    """Do what is planned; the record's address."""
    opened = await lab.make(f"/maintenance-plans/{planned['id']}/open", "admin")
    path = f"/maintenance-records/{opened['id']}"
    await lab.make(f"{path}/finish", "admin", 200, json={"performed_on": day})
    return path


async def change(lab: Lab, path: str, **body: Any) -> dict[str, Any]:
    answer = await lab.call("PATCH", path, "admin", json=body)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


async def monthly(lab: Lab, first: str, **facts: Any) -> dict[str, Any]:
    made = await machine(lab, registered_on="2023-01-01")
    usual: dict[str, Any] = {"next_due_on": first, "interval": 1, "interval_unit": "months"}
    return await plan(lab, machine_id=made["id"], **usual | facts)


async def test_work_on_each_due_date_over_a_leap_year(lab: Lab) -> None:
    planned = await monthly(lab, "2024-01-31")
    assert (planned["interval"], planned["interval_unit"], planned["interval_days"]) == (1, "months", None)
    due = [planned["next_due_on"]]
    for _ in range(4):
        await work(lab, planned, due[-1])
        due.append((await read(lab, planned))["next_due_on"])
    assert due == ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"]


@pytest.mark.parametrize(
    ("facts", "following"),
    [
        ({"interval_days": 30}, "2024-03-30"),
        ({"interval": 30}, "2024-03-30"),
        ({"interval": 2, "interval_unit": "weeks"}, "2024-03-14"),
        ({"interval": 2, "interval_unit": "months"}, "2024-04-30"),
        ({"interval": 1, "interval_unit": "years"}, "2025-02-28"),
        ({"interval": 4, "interval_unit": "years"}, "2028-02-29"),
    ],
)
async def test_intervals(lab: Lab, facts: dict[str, Any], following: str) -> None:
    made = await machine(lab, registered_on="2023-01-01")
    planned = await plan(lab, machine_id=made["id"], next_due_on="2024-02-29", **facts)
    await work(lab, planned, "2024-02-29")
    assert (await read(lab, planned))["next_due_on"] == following


async def test_a_wrong_record_that_is_corrected_moves_the_plan_back(lab: Lab) -> None:
    planned = await monthly(lab, "2024-03-10")
    first = await work(lab, planned, "2024-03-10")
    path = await work(lab, planned, "2024-05-10")  # a month too late
    assert (await read(lab, planned))["next_due_on"] == "2024-06-10"
    await change(lab, path, performed_on="2024-04-10")
    after = await read(lab, planned)
    assert (after["last_done_on"], after["next_due_on"]) == ("2024-04-10", "2024-05-10")
    await change(lab, path, performed_on="2024-03-01")  # the other record is the last one now
    after = await read(lab, planned)
    assert (after["last_done_on"], after["next_due_on"]) == ("2024-03-10", "2024-04-10")
    assert (await lab.call("DELETE", first, "admin")).status_code == 204
    assert (await read(lab, planned))["next_due_on"] == "2024-04-01"
    assert (await lab.call("DELETE", path, "admin")).status_code == 204
    after = await read(lab, planned)
    assert (after["last_done_on"], after["next_due_on"], after["timing"]) == (None, "2024-03-10", "overdue")


async def test_a_plan_for_once_is_open_again_when_its_record_is_removed(lab: Lab) -> None:
    planned = await monthly(lab, "2024-03-10", interval=None)
    path = await work(lab, planned, "2024-03-12")
    assert (await read(lab, planned))["active"] is False
    assert (await lab.call("DELETE", path, "admin")).status_code == 204
    after = await read(lab, planned)
    assert (after["active"], after["last_done_on"], after["timing"]) == (True, None, "overdue")
    await change(lab, f"/maintenance-plans/{planned['id']}", active=False)
    assert (await read(lab, planned))["active"] is False


async def test_a_plan_for_once_can_be_taken_up_again(lab: Lab) -> None:
    planned = await monthly(lab, "2024-03-10", interval=None)
    await work(lab, planned, "2024-03-12")
    again = await change(lab, f"/maintenance-plans/{planned['id']}", active=True)
    assert (again["active"], again["next_due_on"]) == (True, "2024-03-10")
    await work(lab, planned, "2024-03-12")
    assert (await read(lab, planned))["active"] is False


async def test_a_due_date_that_a_person_gives_counts_until_the_next_work(lab: Lab) -> None:
    planned = await monthly(lab, "2024-03-10")
    path = await work(lab, planned, "2024-03-10")
    moved = await change(lab, f"/maintenance-plans/{planned['id']}", next_due_on="2024-08-01", notes="holidays")
    assert moved["next_due_on"] == "2024-08-01"
    await change(lab, path, performed_on="2024-03-09")
    assert (await read(lab, planned))["next_due_on"] == "2024-08-01"
    later = await work(lab, planned, "2024-08-02")
    assert (await read(lab, planned))["next_due_on"] == "2024-09-02"
    assert (await lab.call("DELETE", later, "admin")).status_code == 204
    after = await read(lab, planned)
    assert (after["last_done_on"], after["next_due_on"]) == ("2024-03-09", "2024-08-01")


async def test_a_form_that_sends_the_due_date_back_does_not_fix_it(lab: Lab) -> None:
    planned = await monthly(lab, "2024-03-10")
    path = await work(lab, planned, "2024-05-10")
    await change(lab, f"/maintenance-plans/{planned['id']}", next_due_on="2024-06-10", title="New")
    await change(lab, path, performed_on="2024-04-10")
    assert (await read(lab, planned))["next_due_on"] == "2024-05-10"


async def test_another_interval_counts_from_the_last_work(lab: Lab) -> None:
    planned = await monthly(lab, "2024-03-10")
    await work(lab, planned, "2024-03-10")
    changed = await change(lab, f"/maintenance-plans/{planned['id']}", interval=2)
    assert (changed["interval_unit"], changed["next_due_on"]) == ("months", "2024-05-10")
    changed = await change(lab, f"/maintenance-plans/{planned['id']}", interval_days=7)
    assert (changed["interval"], changed["interval_unit"], changed["interval_days"]) == (7, "days", 7)
    assert changed["next_due_on"] == "2024-03-17"


@pytest.mark.parametrize(
    ("facts", "where"),
    [
        ({"interval": 101, "interval_unit": "years"}, "interval"),
        ({"interval": 1201, "interval_unit": "months"}, "interval"),
        ({"interval": 5201, "interval_unit": "weeks"}, "interval"),
        ({"interval": 1, "interval_days": 7}, "interval_days"),
        ({"interval_unit": "weeks", "interval_days": 7}, "interval_days"),
    ],
)
async def test_intervals_that_nobody_can_mean(lab: Lab, facts: dict[str, Any], where: str) -> None:
    made = await machine(lab)
    body = {"machine_id": made["id"], "title": "x", "next_due_on": "2040-01-01", **facts}
    answer = await lab.call("POST", "/maintenance-plans/", "admin", json=body)
    assert [one["where"] for one in problem(answer, 422, "maintenance_plan_invalid")["problems"]] == [where]


async def test_reports_follow_corrections(lab: Lab) -> None:
    made = await machine(lab, registered_on="2023-01-01")
    body = {"machine_id": made["id"], "kind": "corrective", "state": "done"}
    await lab.make("/maintenance-records/", "admin", json=body | {"performed_on": "2024-01-01"})
    wrong = await lab.make("/maintenance-records/", "admin", json=body | {"performed_on": "2024-03-01"})

    async def figures() -> tuple[str, float | None]:
        report = (await lab.call("GET", f"/machines/{made['id']}/report", "admin")).json()
        return report["last_maintenance"], report["days_between_failures"]

    assert await figures() == ("2024-03-01", 60.0)
    await change(lab, f"/maintenance-records/{wrong['id']}", performed_on="2024-02-01")
    assert await figures() == ("2024-02-01", 31.0)
    assert (await lab.call("DELETE", f"/maintenance-records/{wrong['id']}", "admin")).status_code == 204
    assert await figures() == ("2024-01-01", None)


# ---- machines that are not in use


async def _rest(lab: Lab, machine_id: int, how: str) -> None:
    if how == "retired":
        await change(lab, f"/machines/{machine_id}", status="retired")
    else:
        await lab.make(f"/machines/{machine_id}/archive", "admin", 200)


async def _wake(lab: Lab, machine_id: int, how: str) -> None:
    if how == "retired":
        await change(lab, f"/machines/{machine_id}", status="operational")
    else:
        await lab.make(f"/machines/{machine_id}/restore", "admin", 200)


async def _overdue(lab: Lab, machine_id: int) -> tuple[list[str], int, int]:
    """Plans of the machine that are late in the list, and the counts of the dashboard and of siglab."""
    wanted = {"machine_id": machine_id, "timing": "overdue"}
    listed = (await lab.call("GET", "/maintenance-plans/", "admin", params=wanted)).json()["items"]
    board = (await lab.call("GET", "/machines/dashboard", "admin")).json()
    assert {one["id"] for one in listed} <= {one["id"] for one in board["overdue"]}
    old = await lab.http.get("/api/maquinas/dashboard", headers=lab.people["admin"].headers)
    return [one["title"] for one in listed], board["overdue_count"], old.json()["vencidos"]


@pytest.mark.parametrize("how", ["retired", "archived"])
async def test_a_machine_that_is_not_in_use_is_overdue_nowhere(lab: Lab, how: str) -> None:
    _, before, _ = await _overdue(lab, 1)
    planned = await monthly(lab, "2024-03-10", title="late")
    machine_id = planned["machine_id"]
    assert await _overdue(lab, machine_id) == (["late"], before + 1, before + 1)
    await _rest(lab, machine_id, how)
    assert await _overdue(lab, machine_id) == ([], before, before)
    resting = await read(lab, planned)
    assert (resting["active"], resting["resting"], resting["timing"]) == (True, True, None)
    async with lab.services.uows.read() as uow:
        since = await uow.events.last_id()
    await lab.workers.reconcilers.round()
    told = (await lab.call("GET", "/events", "admin", params={"since": since, "limit": 500})).json()["items"]
    assert [one for one in told if one["data"].get("plan_id") == planned["id"]] == []
    with lab.clock.stopped() as now:
        await _wake(lab, machine_id, how)
        after = await read(lab, planned)
        # What came due meanwhile is due on the day the machine is back, and late only after it.
        assert (after["resting"], after["timing"], after["next_due_on"]) == (False, "due", str(now.date()))
    with lab.clock.stopped(now + timedelta(days=1)):
        await lab.enter("admin", "admin", 1)  # the session of yesterday has ended
        assert await _overdue(lab, machine_id) == (["late"], before + 1, before + 1)
    await lab.call("DELETE", f"/maintenance-plans/{planned['id']}", "admin")


async def test_a_machine_that_is_retired_and_archived_rests_until_it_is_neither(lab: Lab) -> None:
    planned = await monthly(lab, "2024-03-10")
    await _rest(lab, planned["machine_id"], "retired")
    await _rest(lab, planned["machine_id"], "archived")
    await _wake(lab, planned["machine_id"], "archived")
    assert (await read(lab, planned))["resting"] is True
    await _wake(lab, planned["machine_id"], "retired")
    assert (await read(lab, planned))["timing"] == "due"
    await lab.call("DELETE", f"/maintenance-plans/{planned['id']}", "admin")


async def test_a_plan_that_came_due_at_rest_goes_on_from_its_work(lab: Lab) -> None:
    planned = await monthly(lab, "2024-03-10")
    await _rest(lab, planned["machine_id"], "retired")
    with lab.clock.stopped() as now:
        await _wake(lab, planned["machine_id"], "retired")
        day = now.date()
        await work(lab, planned, str(day))
        after = date.fromisoformat((await read(lab, planned))["next_due_on"])
    assert timedelta(days=28) <= after - day <= timedelta(days=31)


async def test_days_that_do_not_fit_the_records_are_put_right(lab: Lab) -> None:
    planned = await monthly(lab, "2024-03-10")
    await work(lab, planned, "2024-03-10")
    async with lab.services.uows.write() as uow:
        row = await uow.maintenance_plans.get(planned["id"])
        row.last_done_on, row.next_due_on = date(2036, 3, 10), date(2036, 4, 10)
        await uow.commit()
    with lab.clock.stopped() as now:
        pass
    with lab.clock.stopped(now + timedelta(hours=2)):
        assert (await lab.workers.reconcilers.round())["plan_dates"] == 1
        assert (await lab.workers.reconcilers.round())["plan_dates"] == 0
    after = await read(lab, planned)
    assert (after["last_done_on"], after["next_due_on"]) == ("2024-03-10", "2024-04-10")
