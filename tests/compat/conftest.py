"""One real server per kind of database, for all scripts of the older APIs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.support import Server, serving
from tests.support.fixtures import SERVERS
from tests.support.servers import empty_database, why_missing

REACT_PAGES = "http://localhost:5173"
"""Where the pages of ``vms`` run; an administrator names it, no installation trusts it by itself."""


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on SQLite, PostgreSQL and MariaDB in turn; tests share it, so each makes its own things."""
    kind: str = request.param
    if reason := why_missing(kind):
        pytest.skip(reason)
    folder: Path = tmp_path_factory.mktemp(f"compat-{kind}")
    with empty_database(kind, folder) as url, serving(folder, kind, url, PARCELA_CORS_ORIGINS=REACT_PAGES) as running:
        yield running
