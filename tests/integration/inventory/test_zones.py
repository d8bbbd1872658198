"""Today is the day where the lab stands."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from parcela.core.clock import utc_now
from tests.integration.http.inventory import machine, plan, record
from tests.integration.http.lab import Lab, make_settings, open_lab, problem

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("zone", "at", "days"), [("America/Lima", (4, 30), -1), ("Pacific/Kiritimati", (10, 30), 1), ("UTC", (4, 30), 0)]
)
async def test_today(schema: Path, tmp_path: Path, zone: str, at: tuple[int, int], days: int) -> None:
    """At 04:30 UTC it is 23:30 of the day before in Lima; at 10:30 UTC 00:30 of the next day in Kiritimati."""
    settings = make_settings(tmp_path, schema, PARCELA_TIME_ZONE=zone)
    async with open_lab(settings) as lab:
        now = utc_now().replace(hour=at[0], minute=at[1])
        with lab.clock.stopped(now):
            await _check(lab, now.date(), now.date() + timedelta(days=days))


async def _check(lab: Lab, utc_day: Any, today: Any) -> None:
    tomorrow, yesterday = today + timedelta(days=1), today - timedelta(days=1)
    made = await machine(lab)
    assert made["registered_on"] == str(today)
    facts: dict[str, Any] = {"machine_id": made["id"], "state": "done"}
    assert (await record(lab, **facts))["performed_on"] == str(today)
    assert (await record(lab, **facts, performed_on=str(tomorrow)))["performed_on"] == str(tomorrow)
    late = facts | {"kind": "corrective", "performed_on": str(tomorrow + timedelta(days=1))}
    problem(await lab.call("POST", "/maintenance-records/", "admin", json=late), 422, "maintenance_invalid")
    wanted = {yesterday: "overdue", today: "due", today + timedelta(days=8): "upcoming"}
    for day, timing in wanted.items():
        assert (await plan(lab, machine_id=made["id"], next_due_on=str(day)))["timing"] == timing
    board = (await lab.call("GET", "/machines/dashboard", "admin")).json()
    assert [one["next_due_on"] for one in board["overdue"]] == [str(yesterday)]
    report = await lab.call("GET", f"/machines/{made['id']}/report", "admin", params={"format": "csv"})
    assert f"-{today}.csv" in report.headers["content-disposition"]
    # The older API: a moment is a day of the lab, a day that a browser made a moment of stays that day.
    auth = lab.people["admin"].headers
    for written, day in ((lab.clock().isoformat(), today), (f"{utc_day - timedelta(days=3)}T00:00:00.000Z", None)):
        code = lab.unique("PC")
        body = {"codigo_equipo": code, "tipo_equipo": "PC", "fecha": written}
        assert (await lab.http.post("/api/maquinas/agregar", json=body, headers=auth)).status_code == 200
        (found,) = (await lab.http.get("/api/maquinas/buscar", params={"q": code}, headers=auth)).json()
        assert found["fecha"] == str(day or utc_day - timedelta(days=3))
