"""Reports of maintenance."""

import httpx2

from tests.integration.cli.conftest import ADMIN, PASSWORD, Server, done
from tests.unit.cli.support import run


def _furnish(server: Server) -> None:
    with httpx2.Client(base_url=f"{server.url}/api/v1", timeout=300) as api:
        token = api.post("/login", json={"email": ADMIN, "password": PASSWORD}).json()["access_token"]
        api.headers["Authorization"] = f"Bearer {token}"
        for code in ("RPT-1", "RPT-2"):
            assert api.post("/machines/", json={"code": code, "type": "PC", "area": "Attic"}).status_code == 201
        record = {"machine_code": "RPT-1", "kind": "corrective", "state": "done", "performed_on": "2026-01-02"}
        assert api.post("/maintenance-records/", json=record).status_code == 201


def test_a_report_is_shown_or_written(admin: Server) -> None:
    _furnish(admin)
    table = done(run("report", "--area", "attic")).out
    assert all(word in table for word in ("RPT-1", "RPT-2", "2026-01-02"))
    facts = done(run("report", "rpt-1", "--json")).json
    assert [row["machine"]["code"] for row in facts["machines"]] == ["RPT-1"]
    for name, magic in (("a.csv", b"\xef\xbb\xbfFecha"), ("a.xlsx", b"PK"), ("a.PDF", b"%PDF-")):
        written = done(run("report", "RPT-1", "-o", name, "--lang", "es", "--json")).json
        with open(name, "rb") as file:  # noqa: PTH123 (in the folder of the test)
            content = file.read()
        assert (written["bytes"], content[: len(magic)]) == (len(content), magic)


def test_what_is_wrong_is_said(admin: Server) -> None:
    assert run("report", "-o", "report.doc").code == 2
    assert run("report", "--kind", "cosmetic").code == 6
    assert run("report", "NO-SUCH-MACHINE").code == 4
    assert run("report", "RPT-1", "--area", "attic").code == 2
