"""A migrated PostgreSQL database per test module, a Redis per test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from parcela.db.migrate import upgrade
from tests.support.daemons import Daemon, own_redis
from tests.support.servers import empty_database, why_missing


@pytest.fixture
def postgres_url(tmp_path: Path) -> Iterator[str]:
    """A migrated database of one's own."""
    if reason := why_missing("postgres"):
        pytest.skip(reason)
    with empty_database("postgres", tmp_path) as url:
        upgrade(url)
        yield url


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Daemon]:
    """A Redis of one's own."""
    with own_redis(tmp_path) as daemon:
        yield daemon
