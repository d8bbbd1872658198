"""The pages of siglab where maintenance records lie in MongoDB, as in the original."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.siglab_client import Pages
from tests.compat.support import PASSWORD, Server, serving
from tests.support.mongo import drop, fresh_url, why_no_mongo
from tests.support.servers import empty_database

pytestmark = [pytest.mark.store]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on SQLite and an empty MongoDB."""
    if reason := why_no_mongo():
        pytest.skip(reason)
    folder: Path = tmp_path_factory.mktemp("siglab-mongo")
    mongo = fresh_url()
    with empty_database("sqlite", folder) as url, serving(folder, "sqlite", url, MONGO_URL=mongo) as running:
        yield running
    drop(mongo)


def test_records_are_written_shown_and_kept(server: Server) -> None:
    lab = Pages(server.url)
    lab.log_in(server.user(role="technician"), PASSWORD)
    code = server.unique("PC-")
    lab.add_machine(code)
    lab.add_record(code.lower(), fecha="2026-04-02", tipo="correctivo")
    assert lab.add_record(code, fecha="2026-05-10")["codigo_maquina"] == code
    assert [record["fecha"] for record in lab.records(code)] == ["2026-05-10", "2026-04-02"]
    (found,) = lab.report(code[1:])
    assert (found["total_mantenimientos"], found["ultimo_mantenimiento"]) == (2, "2026-05-10")
    assert len({record["_id"] for record in found["mantenimientos"]}) == 2
    assert code not in lab.remove_machine(code)
    lab.add_machine(code)
    assert len(lab.records(code)) == 2
    lab.close()
