"""Machines over HTTP."""

import hashlib
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from parcela.core.cookies import SESSION_COOKIE
from tests.integration.http.inventory import PNG, attachment, machine, plan, record
from tests.integration.http.lab import API, Lab, problem

pytestmark = pytest.mark.anyio


async def read(lab: Lab, machine_id: int) -> dict[str, Any]:
    answer = await lab.call("GET", f"/machines/{machine_id}", "admin")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def change(lab: Lab, machine_id: int, **facts: Any) -> dict[str, Any]:
    answer = await lab.call("PATCH", f"/machines/{machine_id}", "admin", json=facts)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def codes(lab: Lab, **wanted: Any) -> list[str]:
    answer = await lab.call("GET", "/machines/", "admin", params=wanted)
    assert answer.status_code == 200, answer.text
    return [item["code"] for item in answer.json()["items"]]


async def test_a_machine_is_stored_as_it_was_described(lab: Lab) -> None:
    facts = {
        "type": "Servidor",
        "area": "Lab Ñ",
        "serial": "s/n 1",
        "notes": "☂",
        "registered_on": "2025-02-28",
        "responsible_id": lab.people["owner"].id,
        "custom_fields": {"screens": 2, "warranty": None, "size": 1.5, "ok": True, "ü": "ß"},
    }
    made = await machine(lab, code="srv-01 a", **facts)
    assert made["code"] == "SRV-01 A"
    assert made["status"] == "operational"
    assert made["responsible"] == "owner"
    assert made["host_id"] is None
    assert {name: made[name] for name in facts} == facts
    assert await read(lab, made["id"]) == made


async def test_a_code_is_unique_whatever_the_case(lab: Lab) -> None:
    made = await machine(lab, code="Imp-1")
    answer = await lab.call("POST", "/machines/", "admin", json={"code": "iMP-1", "type": "IMP"})
    problem(answer, 409, "machine_exists")
    other = await machine(lab)
    problem(await lab.call("PATCH", f"/machines/{other['id']}", "admin", json={"code": "imp-1"}), 409, "machine_exists")
    assert (await read(lab, other["id"]))["code"] == other["code"]
    assert await codes(lab, code="iMp-1") == ["IMP-1"]
    assert (await change(lab, made["id"], code="imp-1"))["code"] == "IMP-1"


async def test_lists_are_searched_and_filtered(lab: Lab) -> None:
    await machine(lab, code="find-1", type="PC", area="Sótano", serial="AB_12%")
    await machine(lab, code="find-2", type="printer", area="attic", notes="paper jam")
    assert await codes(lab, search="FIND-") == ["FIND-1", "FIND-2"]
    assert await codes(lab, search="b_12%") == ["FIND-1"]
    assert await codes(lab, search="PAPER") == ["FIND-2"]
    assert await codes(lab, area="ATTIC") == ["FIND-2"]
    assert await codes(lab, type="Printer", sort="-code") == ["FIND-2"]
    assert await codes(lab, search="find-", status="damaged") == []
    assert await codes(lab, search="find-", registered_since="2999-01-01") == []


@pytest.mark.parametrize(
    "body",
    [
        {"code": "", "type": "PC"},
        {"code": "a/b", "type": "PC"},
        {"code": "ñ", "type": "PC"},
        {"code": "x" * 65, "type": "PC"},
        {"code": "ok", "type": ""},
        {"code": "ok", "type": "PC", "status": "broken"},
        {"code": "ok", "type": "PC", "registered_on": "1066-10-14"},
        {"code": "ok", "type": "PC", "registered_on": "2030-02-30"},
        {"code": "ok", "type": "PC", "responsible_id": 99999},
        {"code": "ok", "type": "PC", "custom_fields": {"a": ["list"]}},
        {"code": "ok", "type": "PC", "custom_fields": {"a": "x" * 4000, "b": "x" * 4000, "c": "ñ" * 4000}},
        {"code": "ok", "type": "PC", "notes": "nul \x00"},
        {"code": "ok", "type": "PC", "unknown": 1},
    ],
)
async def test_bad_machines_are_refused_and_leave_nothing(lab: Lab, body: dict[str, Any]) -> None:
    before = await lab.counts()
    answer = await lab.call("POST", "/machines/", "admin", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["problems"]
    assert await lab.counts() == before


async def test_the_life_of_a_machine_is_remembered(lab: Lab) -> None:
    async with lab.services.uows.read() as uow:
        before = await uow.events.last_id()
    made = await machine(lab)
    await change(lab, made["id"], status="damaged", reason="coffee")
    await change(lab, made["id"], status="retired")
    answer = await lab.call("PATCH", f"/machines/{made['id']}", "admin", json={"status": "maintenance"})
    assert "operational" in problem(answer, 409, "machine_status")["detail"]
    steps = (await lab.call("GET", f"/machines/{made['id']}/history", "admin")).json()["items"]
    seen = [(step["status_before"], step["status"], step["reason"], step["actor"]) for step in steps]
    assert seen == [
        (None, "operational", "registered", "admin"),
        ("operational", "damaged", "coffee", "admin"),
        ("damaged", "retired", "", "admin"),
    ]
    done = (await lab.call("GET", f"/machines/{made['id']}/activity", "admin")).json()["items"]
    assert [entry["action"] for entry in done] == ["machine.status", "machine.status", "machine.created"]
    events = (await lab.call("GET", "/events", "admin", params={"since": before, "limit": 500})).json()["items"]
    mine = [event["type"] for event in events if event["data"].get("code") == made["code"]]
    assert mine == ["machine.created", "machine.status", "machine.status"]


async def test_a_change_needs_the_version_that_was_seen(lab: Lab) -> None:
    made = await machine(lab)
    seen = await lab.call("GET", f"/machines/{made['id']}", "admin")
    etag = {"If-Match": seen.headers["etag"]}
    path = f"/machines/{made['id']}"
    assert (await lab.call("PATCH", path, "admin", json={"notes": "1"}, headers=etag)).status_code == 200
    problem(await lab.call("PATCH", path, "admin", json={"notes": "2"}, headers=etag), 412, "changed_meanwhile")
    assert (await read(lab, made["id"]))["notes"] == "1"


async def test_a_machine_without_a_history_is_simply_removed(lab: Lab) -> None:
    made = await machine(lab)
    assert (await lab.call("DELETE", f"/machines/{made['id']}", "admin")).status_code == 204
    problem(await lab.call("GET", f"/machines/{made['id']}", "admin"), 404, "machine_not_found")


async def test_a_machine_with_a_history_must_be_archived_first(lab: Lab) -> None:
    made = await machine(lab)
    path = f"/machines/{made['id']}"
    await record(lab, machine_id=made["id"], state="done")
    await plan(lab, machine_id=made["id"])
    await lab.make(f"{path}/attachments", "admin", content=b"text", params={"name": "a.txt"})
    await change(lab, made["id"], status="damaged")
    refused = problem(await lab.call("DELETE", path, "admin"), 409, "machine_has_history")
    parts = ("1 maintenance records", "1 maintenance plans", "1 attachments", "1 changes of status")
    assert all(part in refused["detail"] for part in parts)

    archived = await lab.call("POST", f"{path}/archive", "admin")
    assert archived.json()["archived_at"] is not None
    assert made["code"] not in await codes(lab, search=made["code"])
    assert await codes(lab, search=made["code"], archived=True) == [made["code"]]
    problem(await lab.call("PATCH", path, "admin", json={"notes": "x"}), 409, "machine_archived")
    body = {"machine_id": made["id"], "kind": "corrective"}
    problem(await lab.call("POST", "/maintenance-records/", "admin", json=body), 409, "machine_archived")

    assert (await lab.call("DELETE", path, "admin")).status_code == 204
    listed = await lab.call("GET", "/maintenance-records/", "admin", params={"machine_id": made["id"]})
    assert listed.json()["items"] == []


async def test_an_archived_machine_can_be_taken_back(lab: Lab) -> None:
    made = await machine(lab)
    path = f"/machines/{made['id']}"
    for action in ("archive", "archive", "restore", "restore"):
        assert (await lab.call("POST", f"{path}/{action}", "admin")).status_code == 200
    assert (await read(lab, made["id"]))["archived_at"] is None


async def test_a_machine_that_is_worked_on_is_neither_archived_nor_removed_nor_retired(lab: Lab) -> None:
    opened = await record(lab)
    path = f"/machines/{opened['machine_id']}"
    for method, where, options in (
        ("POST", f"{path}/archive", {}),
        ("DELETE", path, {}),
        ("PATCH", path, {"json": {"status": "retired"}}),
    ):
        problem(await lab.call(method, where, "admin", **options), 409, "machine_has_open_maintenance")


async def test_a_photo_is_judged_by_its_content(lab: Lab) -> None:
    made = await machine(lab)
    path = f"/machines/{made['id']}/photo"
    problem(await lab.call("GET", path, "admin"), 404, "photo_of_machine_not_found")
    for content, code in ((b"<svg/>", "photo_type"), (b"%PDF-1.7", "photo_type"), (b"", "file_empty")):
        problem(await lab.call("PUT", path, "admin", content=content), 422, code)
    form = await lab.call("PUT", path, "admin", files={"file": ("a.png", PNG)})
    problem(form, 422, "upload_is_form")
    shown = (await lab.call("PUT", path, "admin", content=PNG)).json()
    assert (shown["photo_type"], shown["photo_sha256"]) == ("image/png", hashlib.sha256(PNG).hexdigest())
    answer = await lab.call("GET", path, "admin")
    assert (answer.headers["content-type"], answer.content) == ("image/png", PNG)
    assert answer.headers["x-content-type-options"] == "nosniff"

    folder = lab.services.inventory.files.folder
    before = {file.name for file in folder.iterdir() if file.is_file()}
    assert (await lab.call("PUT", path, "admin", content=PNG + b"more")).status_code == 200
    assert len({file.name for file in folder.iterdir() if file.is_file()} - before) == 1
    assert (await lab.call("DELETE", path, "admin")).status_code == 204
    assert (await lab.call("DELETE", path, "admin")).status_code == 204
    assert len({file.name for file in folder.iterdir() if file.is_file()}) == len(before) - 1
    assert list((folder / "incoming").iterdir()) == []


async def test_a_file_that_is_too_large_is_refused(lab: Lab) -> None:
    made = await machine(lab)
    most = lab.services.settings.max_attachment_bytes
    path = f"/machines/{made['id']}/attachments"
    big = await lab.call("POST", path, "admin", content=b"x" * (most + 1), params={"name": "big"})
    problem(big, 413, "file_too_large")
    kept = await lab.make(path, "admin", content=b"x" * most, params={"name": "just right"})
    assert kept["size_bytes"] == most
    assert list((lab.services.inventory.files.folder / "incoming").iterdir()) == []


async def test_attachments_are_downloaded_as_they_came(lab: Lab) -> None:
    made = await attachment(lab)
    assert (made["media_type"], made["record_id"]) == ("application/pdf", None)
    answer = await lab.call("GET", f"/attachments/{made['id']}", "admin")
    assert answer.content == b"%PDF-1.7 anything"
    assert hashlib.sha256(answer.content).hexdigest() == made["sha256"]
    assert answer.headers["content-disposition"] == 'attachment; filename="invoice.pdf"'
    assert answer.headers["content-type"] == "application/octet-stream"
    assert (await lab.call("DELETE", f"/attachments/{made['id']}", "admin")).status_code == 204
    problem(await lab.call("GET", f"/attachments/{made['id']}", "admin"), 404, "attachment_not_found")


async def test_attachments_of_a_record(lab: Lab) -> None:
    opened = await record(lab)
    path = f"/machines/{opened['machine_id']}/attachments"
    of_record: dict[str, Any] = {"content": b"a", "params": {"name": "a", "record_id": opened["id"].upper()}}
    kept = await lab.make(path, "admin", headers={"Idempotency-Key": "once"}, **of_record)
    again = await lab.call("POST", path, "admin", headers={"Idempotency-Key": "once"}, **of_record)
    assert again.json() == kept
    await lab.make(path, "admin", content=b"b", params={"name": "b"})
    listed = await lab.call("GET", path, "admin", params={"record_id": opened["id"]})
    assert [item["name"] for item in listed.json()["items"]] == ["a"]
    other = await machine(lab)
    foreign = await lab.call("POST", f"/machines/{other['id']}/attachments", "admin", **of_record)
    problem(foreign, 422, "unknown_maintenance_record")
    slash = await lab.call("POST", path, "admin", content=b"a", params={"name": "../a"})
    problem(slash, 422, "bad_name")
    assert (await lab.call("DELETE", f"/maintenance-records/{opened['id']}", "admin")).status_code == 204
    assert [item["name"] for item in (await lab.call("GET", path, "admin")).json()["items"]] == ["b"]


async def test_a_label_is_a_picture_with_the_code(lab: Lab) -> None:
    made = await machine(lab, code="label 1")
    answer = await lab.call("GET", f"/machines/{made['id']}/label", "admin")
    assert answer.headers["content-type"] == "image/svg+xml"
    root = ET.fromstring(answer.content)  # noqa: S314 (our own answer)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "LABEL 1"


async def test_a_technician_keeps_the_inventory_and_nothing_else(lab: Lab) -> None:
    made = await lab.user(role="technician")
    person = await lab.enter("technician", made["username"], made["id"])
    created = await lab.http.post(f"{API}/machines/", json={"code": "tech-1", "type": "PC"}, headers=person.headers)
    assert created.status_code == 201
    assert (await lab.call("GET", "/machines/dashboard", "technician")).status_code == 200
    body = {"machine_id": created.json()["id"], "kind": "preventive"}
    assert (await lab.call("POST", "/maintenance-records/", "technician", json=body)).status_code == 201
    assert (await lab.call("GET", "/hosts/", "technician")).status_code == 403
    assert (await lab.call("POST", "/flavours/", "technician", json={})).status_code in {403, 422}


async def test_the_dashboard_counts(lab: Lab) -> None:
    before = (await lab.call("GET", "/machines/dashboard", "admin")).json()
    made = await machine(lab, type="Plotter", area="Hall")
    gone = await machine(lab, type="Plotter", area="Hall")
    forgotten = await plan(lab, machine_id=gone["id"], next_due_on="2019-01-01")
    await lab.call("POST", f"/machines/{gone['id']}/archive", "admin")
    await record(lab, machine_id=made["id"], kind="corrective")
    late = await plan(lab, machine_id=made["id"], next_due_on="2020-01-01")
    after = (await lab.call("GET", "/machines/dashboard", "admin")).json()
    assert after["by_type"]["Plotter"] == 1
    assert after["by_area"]["Hall"] == 1
    assert after["by_status"]["maintenance"] == before["by_status"].get("maintenance", 0) + 1
    assert after["overdue_count"] == before["overdue_count"] + 1
    assert (after["overdue"][0]["id"], after["overdue"][0]["timing"]) == (late["id"], "overdue")
    await lab.workers.reconcilers.round()
    events = (await lab.call("GET", "/events?since=0&limit=1000", "admin")).json()["items"]
    reported = {event["data"]["plan_id"] for event in events if event["type"] == "maintenance.overdue"}
    assert (late["id"] in reported, forgotten["id"] in reported) == (True, False)
    corrective = [month["count"] for month in after["per_month"] if month["kind"] == "corrective"]
    assert sum(corrective) == 1 + sum(m["count"] for m in before["per_month"] if m["kind"] == "corrective")


async def test_the_label_leads_to_a_page_about_the_machine(lab: Lab) -> None:
    made = await machine(lab, code="page 1", area="<b>Attic</b>", custom_fields={"ram": "8 & more"})
    await record(lab, machine_id=made["id"], technician="Ana", notes="<script>")
    cookie = {"Cookie": f"{SESSION_COOKIE}={lab.people['admin'].token}"}
    answer = await lab.http.get("/machines/page%201", headers=cookie)
    assert answer.status_code == 200
    for text in ("PAGE 1", "&lt;b&gt;Attic&lt;/b&gt;", "8 &amp; more", "&lt;script&gt;", "In maintenance", "Ana"):
        assert text in answer.text
    assert (await lab.http.get("/machines/nothing", headers=cookie)).status_code == 404
