"""Reports over HTTP: figures, filters, files."""

import csv
import io
from typing import Any

import pytest

from parcela.services.reports import service
from tests.integration.http import inventory
from tests.integration.http.lab import Lab, problem

pytestmark = pytest.mark.anyio
RECORDS = (
    {"kind": "corrective", "performed_on": "2026-01-01", "cost_minor": 1050, "currency": "PEN", "company": "=1+1"},
    {"kind": "corrective", "performed_on": "2026-01-31"},
    {"kind": "preventive", "performed_on": "2026-03-05", "cost_minor": 200, "currency": "USD"},
)


async def _machine(lab: Lab, **facts: Any) -> dict[str, Any]:
    """A machine with three records that are done."""
    made = await inventory.machine(lab, **facts)
    for record in RECORDS:
        await inventory.record(lab, machine_id=made["id"], state="done", **record)
    return made


async def _report(lab: Lab, path: str, **params: Any) -> dict[str, Any]:
    answer = await lab.call("GET", path, "admin", params=params)
    assert answer.status_code == 200, answer.text
    read: dict[str, Any] = answer.json()
    return read


async def test_the_report_of_a_machine(lab: Lab) -> None:
    made = await _machine(lab)
    report = await _report(lab, f"/machines/{made['id']}/report")
    assert [one["day"] for one in report["entries"]] == ["2026-03-05", "2026-01-31", "2026-01-01"]
    assert report["totals"] == [
        {"kind": "preventive", "records": 1, "costs": [{"currency": "USD", "minor": 200}]},
        {"kind": "corrective", "records": 2, "costs": [{"currency": "PEN", "minor": 1050}]},
    ]
    assert (report["last_maintenance"], report["days_between_failures"]) == ("2026-03-05", 30.0)
    assert report["months"][0] == {"month": "2026-01", "preventive": 0, "corrective": 2}
    assert report["selection"]["machine_code"] == made["code"].upper()


async def test_filters_leave_others_out(lab: Lab) -> None:
    made = await _machine(lab, area="Attic", type="Mainframe")
    await _machine(lab, area="Cellar")
    by_area = await _report(lab, "/reports/maintenance", area="attic", type="mainframe")
    assert {one["machine_code"] for one in by_area["entries"]} == {made["code"].upper()}
    assert [row["machine"]["area"] for row in by_area["machines"]] == ["Attic"]
    wanted = {"kind": "corrective", "since": "2026-01-02", "until": "2026-02-28"}
    narrow = await _report(lab, f"/machines/{made['id']}/report", **wanted)
    assert [one["day"] for one in narrow["entries"]] == ["2026-01-31"]
    assert narrow["days_between_failures"] is None


async def test_machines_nobody_worked_on_are_shown_and_archived_ones_only_with_records(lab: Lab) -> None:
    area = lab.unique("area")
    idle, worked = await inventory.machine(lab, area=area), await _machine(lab, area=area)
    put_away = [await inventory.machine(lab, area=area), await _machine(lab, area=area)]
    for one in put_away:
        await lab.make(f"/machines/{one['id']}/archive", "admin", 200)
    report = await _report(lab, "/reports/maintenance", area=area)
    codes = {row["machine"]["code"] for row in report["machines"]}
    assert codes == {one["code"].upper() for one in (idle, worked, put_away[1])}


@pytest.mark.parametrize(
    ("form", "media_type", "magic"),
    [
        ("csv", "text/csv; charset=utf-8", b"\xef\xbb\xbfDate,"),
        ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK"),
        ("pdf", "application/pdf", b"%PDF-"),
    ],
)
async def test_files(lab: Lab, form: str, media_type: str, magic: bytes) -> None:
    made = await _machine(lab, code=lab.unique("PC 7"))
    answer = await lab.call("GET", f"/machines/{made['id']}/report", "admin", params={"format": form, "lang": "en"})
    assert answer.status_code == 200, answer.text
    assert (answer.headers["content-type"], answer.content[: len(magic)]) == (media_type, magic)
    name = made["code"].upper().replace(" ", "-")
    assert f'filename="maintenance-{name}-' in answer.headers["content-disposition"]


async def test_a_file_speaks_the_language_that_is_asked_for_and_starts_no_formula(lab: Lab) -> None:
    made = await _machine(lab)
    answer = await lab.call("GET", f"/machines/{made['id']}/report", "admin", params={"format": "csv", "lang": "es"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["Costo"] for row in rows] == ["2.00", "", "10.50"]
    assert rows[-1]["Empresa"] == "'=1+1"


async def test_what_cannot_be_reported(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    problem(await lab.call("GET", "/machines/987654/report", "admin"), 404, "machine_not_found")
    wrong_way = {"since": "2026-02-01", "until": "2026-01-01"}
    problem(await lab.call("GET", "/reports/maintenance", "admin", params=wrong_way), 422, "bad_range")
    await _machine(lab)
    monkeypatch.setattr(service, "MAX_RECORDS", 2)
    problem(await lab.call("GET", "/reports/maintenance", "admin"), 413, "report_too_large")


async def test_a_right_to_records_alone_is_not_enough(lab: Lab) -> None:
    token = await lab.token("admin", "maintenance:read")
    headers = {"Authorization": f"Bearer {token['token']}"}
    problem(await lab.call("GET", "/reports/maintenance", None, headers=headers), 403, "permission_missing")
