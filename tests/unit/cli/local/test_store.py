"""``store move`` while something runs, or where that cannot be seen."""

from pathlib import Path

import pytest

from parcela.core.errors import conflict
from parcela.db.database import ProcessLock
from tests.unit.cli.support import run


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PARCELA_HYPERVISOR", "simulated")
    monkeypatch.setenv("MONGO_URL", "mongodb://127.0.0.1:1/none")


def test_it_is_refused_while_a_process_works_on_the_same_sqlite(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path)
    lock.acquire()
    try:
        refused = run("store", "move", "--to", "mongo", "--json")
    finally:
        lock.release()
    assert (refused.code, refused.problem["code"]) == (5, "second_process")
    assert list(tmp_path.glob("*.db")) == [], "nothing was even begun"


def test_with_a_server_it_says_that_it_cannot_see_who_works_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_url: str) -> None:
        raise conflict("far_enough", "The database is not needed for this.")

    monkeypatch.setattr("parcela.cli.local.store.migrations.upgrade", away)
    for database, warned in (("postgresql://nobody@db/none", True), ("", False)):
        monkeypatch.setenv("DATABASE_URL", database)
        ended = run("store", "move", "--to", "mongo")
        assert "not needed" in ended.err
        said = "cannot see whether a Parcela process still runs: stop them all first" in " ".join(ended.err.split())
        assert said == warned
