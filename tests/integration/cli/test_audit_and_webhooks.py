"""The audit trail and webhooks, from the command line."""

import csv
import json
from pathlib import Path

from tests.integration.cli.conftest import Server, done
from tests.unit.cli.support import run


def test_audit(admin: Server, tmp_path: Path) -> None:
    done(run("flavour", "add", "audited", "--vcpus", "1", "--ram", "64", "--disk", "1"))
    done(run("flavour", "delete", "audited"))
    rows = done(run("audit", "list", "--action", "flavour.*", "--actor", "admin", "--limit", "2", "--json")).json
    assert [row["action"] for row in rows] == ["flavour.deleted", "flavour.created"]
    assert "flavour.deleted" in done(run("audit", "list", "--noun", "flavour", "--from", "2020-01-01")).out
    assert "No entries" in done(run("audit", "list", "--to", "2020-01-01")).err
    exported = done(run("audit", "export", "--id", rows[0]["noun_id"], "--noun", "flavour")).out
    # SQLite gives the number of a removed row out again, so an older flavour may have had it.
    assert "audited" in {json.loads(line)["noun_name"] for line in exported.splitlines()}
    file = tmp_path / "audit.csv"
    done(run("audit", "export", str(file), "--format", "csv", "--action", "flavour.deleted"))
    with file.open(newline="") as lines:
        assert "audited" in {row["noun_name"] for row in csv.DictReader(lines)}
    assert run("audit", "export", "--format", "xml").code == 2
    assert run("audit", "export", str(tmp_path / "none" / "audit.csv")).code == 2


def test_webhooks(admin: Server) -> None:
    made = done(run("webhook", "add", "grading", "https://grader.example/x", "--event", "slice.*", "--json")).json
    assert made["secret"].startswith("whsec_")
    assert run("webhook", "add", "inside", "https://127.0.0.1/x").code == 6
    assert "grading" in done(run("webhook", "list")).out
    assert done(run("webhook", "set", "grading", "--off", "--json")).json["is_active"] is False
    rotated = done(run("webhook", "rotate", "grading", "--json")).json
    assert rotated["secret"] != made["secret"]
    assert "No deliveries" in done(run("webhook", "deliveries", "grading")).err
    assert run("webhook", "resend", "grading", "1").code == 5
    done(run("webhook", "delete", "grading"))
    assert run("webhook", "delete", "grading").code == 4
