"""Maintenance records and plans over HTTP."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from tests.integration.http.inventory import machine, plan, record
from tests.integration.http.lab import Lab, problem

pytestmark = pytest.mark.anyio


async def status_of(lab: Lab, machine_id: int) -> str:
    return str((await lab.call("GET", f"/machines/{machine_id}", "admin")).json()["status"])


async def act(lab: Lab, record_id: str, action: str, status: int = 200, **body: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"json": body} if action == "finish" else {}
    return await lab.make(f"/maintenance-records/{record_id}/{action}", "admin", status, **options)


async def found(lab: Lab, **wanted: Any) -> list[str]:
    answer = await lab.call("GET", "/maintenance-records/", "admin", params=wanted)
    assert answer.status_code == 200, answer.text
    return [item["notes"] for item in answer.json()["items"]]


async def test_what_was_done_is_written_down(lab: Lab) -> None:
    made = await machine(lab)
    facts = {"kind": "preventive", "state": "done", "performed_on": "2025-03-01", "company": "Acme", "notes": "☂"}
    cost = {"cost_minor": 12500, "currency": "EUR", "technician": "María"}
    written = await record(lab, machine_id=made["id"], **facts, **cost)
    assert {name: written[name] for name in facts | cost} == facts | cost
    assert (written["machine_code"], written["author"], written["host"]) == (made["code"], "admin", None)
    read = await lab.call("GET", f"/maintenance-records/{written['id'].upper()}", "admin")
    assert read.json() == written
    assert await status_of(lab, made["id"]) == "operational"
    by_code = await lab.make(
        "/maintenance-records/", "admin", json={"machine_code": made["code"].lower(), "kind": "preventive"}
    )
    assert by_code["machine_id"] == made["id"]


async def test_corrective_maintenance_holds_the_machine_until_it_is_done(lab: Lab) -> None:
    opened = await record(lab)
    assert await status_of(lab, opened["machine_id"]) == "maintenance"
    with lab.clock.stopped() as now:  # else midnight may come in between
        done = await act(lab, opened["id"], "finish", notes="new fan", cost_minor=100, currency="USD")
    assert (done["state"], done["notes"], done["cost_minor"]) == ("done", "new fan", 100)
    assert done["performed_on"] == str(now.date())
    assert await status_of(lab, opened["machine_id"]) == "operational"
    problem(
        await lab.call("POST", f"/maintenance-records/{opened['id']}/finish", "admin", json={}), 409, "maintenance_done"
    )
    problem(await lab.call("POST", f"/maintenance-records/{opened['id']}/begin", "admin"), 409, "maintenance_done")
    steps = (await lab.call("GET", f"/machines/{opened['machine_id']}/history", "admin")).json()["items"]
    assert [(step["status"], step["record_id"]) for step in steps[1:]] == [
        ("maintenance", opened["id"]),
        ("operational", opened["id"]),
    ]


async def test_the_machine_goes_back_when_the_last_one_is_done(lab: Lab) -> None:
    first = await record(lab)
    second = await record(lab, machine_id=first["machine_id"])
    await act(lab, first["id"], "finish")
    assert await status_of(lab, first["machine_id"]) == "maintenance"
    await act(lab, second["id"], "finish", machine_status="damaged")
    assert await status_of(lab, first["machine_id"]) == "damaged"


async def test_preventive_maintenance_holds_the_machine_from_its_begin(lab: Lab) -> None:
    opened = await record(lab, kind="preventive")
    assert await status_of(lab, opened["machine_id"]) == "operational"
    begun = await act(lab, opened["id"], "begin")
    assert begun["begun_at"] is not None
    assert (await act(lab, opened["id"], "begin"))["begun_at"] == begun["begun_at"]
    assert await status_of(lab, opened["machine_id"]) == "maintenance"
    await act(lab, opened["id"], "finish")
    assert await status_of(lab, opened["machine_id"]) == "operational"


async def test_what_people_said_of_the_machine_meanwhile_stays(lab: Lab) -> None:
    opened = await record(lab)
    path = f"/machines/{opened['machine_id']}"
    assert (await lab.call("PATCH", path, "admin", json={"status": "damaged"})).status_code == 200
    await act(lab, opened["id"], "finish")
    assert await status_of(lab, opened["machine_id"]) == "damaged"


async def test_a_record_that_turns_out_to_be_corrective_holds_the_machine(lab: Lab) -> None:
    opened = await record(lab, kind="preventive")
    path = f"/maintenance-records/{opened['id']}"
    assert (await lab.call("PATCH", path, "admin", json={"kind": "corrective"})).status_code == 200
    assert await status_of(lab, opened["machine_id"]) == "maintenance"
    assert (await lab.call("DELETE", path, "admin")).status_code == 204
    assert await status_of(lab, opened["machine_id"]) == "operational"
    problem(await lab.call("GET", path, "admin"), 404, "maintenance_record_not_found")


async def test_changes_need_the_version_that_was_seen_and_both_halves_of_a_cost(lab: Lab) -> None:
    opened = await record(lab, cost_minor=5, currency="EUR")
    path = f"/maintenance-records/{opened['id']}"
    etag = {"If-Match": (await lab.call("GET", path, "admin")).headers["etag"]}
    assert (await lab.call("PATCH", path, "admin", json={"cost_minor": 7}, headers=etag)).json()["cost_minor"] == 7
    problem(await lab.call("PATCH", path, "admin", json={"cost_minor": 8}, headers=etag), 412, "changed_meanwhile")
    problem(await lab.call("PATCH", path, "admin", json={"cost_minor": None}), 422, "maintenance_invalid")
    body = {"machine_id": opened["machine_id"], "kind": "corrective", "cost_minor": 5}
    problem(await lab.call("POST", "/maintenance-records/", "admin", json=body), 422, "maintenance_invalid")
    body = {"machine_id": opened["machine_id"], "kind": "corrective", "currency": "EUR"}
    problem(await lab.call("POST", "/maintenance-records/", "admin", json=body), 422, "maintenance_invalid")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "corrective"}, "unknown_machine"),
        ({"kind": "corrective", "machine_id": 99999}, "unknown_machine"),
        ({"kind": "corrective", "machine_code": "nowhere"}, "unknown_machine"),
        ({"kind": "other", "machine_id": 1}, "request_invalid"),
        ({"kind": "corrective", "machine_id": 1, "currency": "euro"}, "request_invalid"),
        ({"kind": "corrective", "machine_id": 1, "cost_minor": -1, "currency": "EUR"}, "request_invalid"),
    ],
)
async def test_bad_records_are_refused_and_leave_nothing(lab: Lab, body: dict[str, Any], code: str) -> None:
    before = await lab.counts()
    problem(await lab.call("POST", "/maintenance-records/", "admin", json=body), 422, code)
    assert await lab.counts() == before


async def test_nothing_is_opened_on_a_retired_machine(lab: Lab) -> None:
    made = await machine(lab, status="retired")
    body = {"machine_id": made["id"], "kind": "corrective"}
    problem(await lab.call("POST", "/maintenance-records/", "admin", json=body), 409, "machine_retired")
    assert (await record(lab, machine_id=made["id"], state="done"))["state"] == "done"
    planned = {"machine_id": made["id"], "title": "x", "next_due_on": "2040-01-01"}
    problem(await lab.call("POST", "/maintenance-plans/", "admin", json=planned), 409, "machine_retired")


async def test_lists_are_filtered_and_paged(lab: Lab) -> None:
    made = await machine(lab)
    for day in range(1, 6):
        state = "open" if day == 5 else "done"
        facts = {"performed_on": f"2025-01-0{day}", "notes": f"n{day}", "technician": f"Tec{day}", "state": state}
        await record(lab, machine_id=made["id"], kind="preventive", **facts)
    mine = {"machine_id": made["id"]}
    assert await found(lab, **mine) == ["n5", "n4", "n3", "n2", "n1"]
    assert await found(lab, **mine, oldest_first=True, limit=2) == ["n1", "n2"]
    assert await found(lab, **mine, since="2025-01-02", until="2025-01-03") == ["n3", "n2"]
    assert await found(lab, **mine, technician="TEC4") == ["n4"]
    assert await found(lab, **mine, search="c2") == ["n2"]
    assert await found(lab, **mine, state="open") == ["n5"]
    first = (await lab.call("GET", "/maintenance-records/", "admin", params=mine | {"limit": 3})).json()
    rest = mine | {"limit": 3, "cursor": first["next_cursor"]}
    assert await found(lab, **rest) == ["n2", "n1"]
    problem(await lab.call("GET", "/maintenance-records/", "admin", params={"cursor": "x"}), 422, "bad_cursor")


async def test_a_repeated_creation_makes_one_record(lab: Lab) -> None:
    made = await machine(lab)
    options = {"json": {"machine_id": made["id"], "kind": "corrective"}, "headers": {"Idempotency-Key": "r"}}
    first = await lab.call("POST", "/maintenance-records/", "admin", **options)
    again = await lab.call("POST", "/maintenance-records/", "admin", **options)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert len(await found(lab, machine_id=made["id"])) == 1


# ---- plans


@pytest.fixture
def today(lab: Lab) -> Iterator[date]:
    """A day that does not end before the test."""
    with lab.clock.stopped() as now:
        yield now.date()


async def test_a_plan_says_how_it_stands_to_today(lab: Lab, today: date) -> None:
    made = await machine(lab)
    wanted = {-1: "overdue", 0: "due", 7: "due", 8: "upcoming"}
    for days, timing in wanted.items():
        planned = await plan(lab, machine_id=made["id"], title=str(days), next_due_on=str(today + timedelta(days=days)))
        assert planned["timing"] == timing
    for timing in set(wanted.values()):
        query = {"machine_id": made["id"], "timing": timing, "sort": "next_due_on"}
        listed = (await lab.call("GET", "/maintenance-plans/", "admin", params=query)).json()["items"]
        assert [int(item["title"]) for item in listed] == [days for days, stands in wanted.items() if stands == timing]
    page = {"machine_id": made["id"], "sort": "-next_due_on", "limit": 3}
    first = (await lab.call("GET", "/maintenance-plans/", "admin", params=page)).json()
    last = await lab.call("GET", "/maintenance-plans/", "admin", params=page | {"cursor": first["next_cursor"]})
    assert [item["title"] for item in first["items"] + last.json()["items"]] == ["8", "7", "0", "-1"]


async def test_a_recurring_plan_goes_on_when_its_work_is_done(lab: Lab) -> None:
    planned = await plan(lab, interval_days=30, technician="Ana", notes="fans")
    opened = await lab.make(f"/maintenance-plans/{planned['id']}/open", "admin")
    assert (opened["plan_id"], opened["technician"], opened["kind"]) == (planned["id"], "Ana", "preventive")
    again = await lab.call("POST", f"/maintenance-plans/{planned['id']}/open", "admin")
    assert opened["id"] in problem(again, 409, "plan_is_open")["detail"]
    await act(lab, opened["id"], "finish", performed_on="2025-12-20")
    after = (await lab.call("GET", f"/maintenance-plans/{planned['id']}", "admin")).json()
    assert (after["last_done_on"], after["next_due_on"], after["active"]) == ("2025-12-20", "2026-01-19", True)


async def test_a_plan_for_once_is_over_when_its_work_is_done(lab: Lab) -> None:
    planned = await plan(lab)
    opened = await lab.make(f"/maintenance-plans/{planned['id']}/open", "admin")
    await act(lab, opened["id"], "finish")
    after = (await lab.call("GET", f"/maintenance-plans/{planned['id']}", "admin")).json()
    assert (after["active"], after["timing"]) == (False, None)
    problem(await lab.call("POST", f"/maintenance-plans/{planned['id']}/open", "admin"), 409, "plan_inactive")


async def test_a_plan_is_changed_and_removed(lab: Lab) -> None:
    planned = await plan(lab)
    path = f"/maintenance-plans/{planned['id']}"
    etag = {"If-Match": (await lab.call("GET", path, "admin")).headers["etag"]}
    body = {"title": "New", "kind": "corrective", "next_due_on": "2020-05-05", "interval_days": 7}
    changed = (await lab.call("PATCH", path, "admin", json=body, headers=etag)).json()
    assert {name: changed[name] for name in body} == body
    assert changed["timing"] == "overdue"
    problem(await lab.call("DELETE", path, "admin", headers=etag), 412, "changed_meanwhile")
    assert (await lab.call("DELETE", path, "admin")).status_code == 204
    problem(await lab.call("GET", path, "admin"), 404, "maintenance_plan_not_found")


async def test_reminders_are_given_once_per_due_date(lab: Lab, today: date) -> None:
    async with lab.services.uows.read() as uow:
        before = await uow.events.last_id()
    made = await machine(lab, responsible_id=lab.people["owner"].id)
    near = await plan(lab, machine_id=made["id"], next_due_on=str(today + timedelta(days=3)), interval_days=10)
    late = await plan(lab, machine_id=made["id"], next_due_on=str(today - timedelta(days=1)))
    await plan(lab, machine_id=made["id"], next_due_on=str(today + timedelta(days=30)))
    off = await plan(lab, machine_id=made["id"], next_due_on=str(today))
    await lab.call("PATCH", f"/maintenance-plans/{off['id']}", "admin", json={"active": False})

    async def told() -> list[tuple[str, int]]:
        await lab.workers.reconcilers.round()
        events = (await lab.call("GET", "/events", "owner", params={"since": before, "limit": 500})).json()["items"]
        wanted = {"maintenance.due", "maintenance.overdue"}
        return [(event["type"], event["data"]["plan_id"]) for event in events if event["type"] in wanted]

    once = [("maintenance.due", near["id"]), ("maintenance.due", late["id"]), ("maintenance.overdue", late["id"])]
    assert await told() == once
    assert await told() == once
    opened = await lab.make(f"/maintenance-plans/{near['id']}/open", "admin")
    await act(lab, opened["id"], "finish", performed_on=str(today - timedelta(days=5)))
    assert await told() == [*once, ("maintenance.due", near["id"])]
