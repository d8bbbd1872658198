"""Fresh databases for tests, cheap: migrated and furnished once per process, then cloned for every test."""

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, inspect, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from parcela.db.engine import async_url
from parcela.db.migrate import upgrade

ValueT = TypeVar("ValueT")
Furnish = Callable[[str], Coroutine[Any, Any, None]]
"""Fills a migrated database, by its URL."""
URLS = {"postgres": "PARCELA_TEST_POSTGRES_URL", "mariadb": "PARCELA_TEST_MARIADB_URL"}


def why_missing(server: str) -> str:
    """Why there is no such server in this run; "" when there is one."""
    if server not in URLS or os.environ.get(URLS[server]):
        return ""
    return os.environ.get(f"PARCELA_TEST_{server.upper()}_SKIP") or f"{URLS[server]} is not set: run under the test lab"


@contextmanager
def empty_database(server: str, folder: Path) -> Iterator[str]:
    """A database without a schema, for whoever migrates it (``parcela serve`` does); its URL."""
    if server == "sqlite":
        yield f"sqlite:///{folder / 'parcela.db'}"
        return
    name, url = f"test_{uuid4().hex[:12]}", os.environ[URLS[server]]
    _administer(url, f"CREATE DATABASE {name}")
    try:
        yield _with_name(url, name)
    finally:
        _administer(url, f"DROP DATABASE {name}" + (" WITH (FORCE)" if server == "postgres" else ""))


class Template(Protocol):
    """A furnished database from which others are made."""

    def clone(self, folder: Path) -> str:
        """Make a copy of one's own; its URL."""
        ...

    def drop(self, url: str) -> None:
        """Throw a copy away."""
        ...

    def close(self) -> None:
        """Throw the template away."""
        ...


def make_template(server: str, folder: Path, furnish: Furnish) -> Template:
    """Migrate and furnish a database of ``sqlite``, ``postgres`` or ``mariadb``."""
    if server == "sqlite":
        return _SqliteTemplate(folder / "template.db", furnish)
    url = os.environ[URLS[server]]
    return _PostgresTemplate(url, furnish) if server == "postgres" else _MariaTemplate(url, furnish)


class _SqliteTemplate:
    """A file; everything of its write-ahead log is in it once the last connection is closed."""

    def __init__(self, path: Path, furnish: Furnish) -> None:
        self._path = path
        url = f"sqlite:///{path}"
        upgrade(url)
        _run(furnish(url))

    def clone(self, folder: Path) -> str:
        path = folder / f"parcela-{uuid4().hex[:8]}.db"
        shutil.copyfile(self._path, path)
        return f"sqlite:///{path}"

    def drop(self, url: str) -> None:
        pass  # goes with the folder

    def close(self) -> None:
        pass  # the same


@dataclass
class _Server:
    """What databases on servers have in common."""

    url: str
    furnish: Furnish
    template: str = field(default_factory=lambda: f"template_{uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        self._administer(f"CREATE DATABASE {self.template}")
        upgrade(self._url_of(self.template))
        _run(self.furnish(self._url_of(self.template)))

    def drop(self, url: str) -> None:
        self._drop(str(make_url(url).database))

    def close(self) -> None:
        self._drop(self.template)

    def _drop(self, name: str) -> None:
        self._administer(f"DROP DATABASE {name}")

    def _url_of(self, name: str) -> str:
        return _with_name(self.url, name)

    def _administer(self, *statements: str) -> None:
        _administer(self.url, *statements)


class _PostgresTemplate(_Server):
    """PostgreSQL copies databases itself."""

    def clone(self, folder: Path) -> str:
        name = f"test_{uuid4().hex[:12]}"
        self._administer(f"CREATE DATABASE {name} TEMPLATE {self.template} STRATEGY FILE_COPY")
        return self._url_of(name)

    def _drop(self, name: str) -> None:
        self._administer(f"DROP DATABASE {name} WITH (FORCE)")


class _MariaTemplate(_Server):
    """MariaDB does not: its own words for each table are said again, and the rows copied."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._making = _run(_connected(self._url_of(self.template), self._read))
        self._triggers = _run(_connected(self._url_of(self.template), self._read_triggers))

    @staticmethod
    async def _read_triggers(connection: AsyncConnection) -> list[str]:
        names = [row[0] for row in await connection.execute(text("SHOW TRIGGERS"))]
        made = [(await connection.execute(text(f"SHOW CREATE TRIGGER `{name}`"))).one() for name in names]
        return [str(row[2]) for row in made]

    @staticmethod
    async def _read(connection: AsyncConnection) -> list[tuple[str, str]]:
        def names(sync: Connection) -> list[str]:
            return inspect(sync).get_table_names()

        made = []
        for name in await connection.run_sync(names):
            row = (await connection.execute(text(f"SHOW CREATE TABLE `{name}`"))).one()
            made.append((name, str(row[1])))
        return made

    def clone(self, folder: Path) -> str:
        name = f"test_{uuid4().hex[:12]}"
        copies = [f"INSERT INTO `{table}` SELECT * FROM {self.template}.`{table}`" for table, _ in self._making]  # noqa: S608
        self._administer(
            f"CREATE DATABASE {name}",
            f"USE {name}",
            "SET SESSION foreign_key_checks = 0",
            *(words.replace(":", "\\:") for _, words in self._making),
            *copies,
            *(words.replace(":", "\\:") for words in self._triggers),
        )
        return self._url_of(name)


def _with_name(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _administer(url: str, *statements: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        for statement in statements:
            await connection.execute(text(statement))

    _run(_connected(url, work))


async def _connected(url: str, work: Callable[[AsyncConnection], Coroutine[Any, Any, ValueT]]) -> ValueT:
    engine = create_async_engine(async_url(url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await work(connection)
    finally:
        await engine.dispose()


def _run(work: Coroutine[Any, Any, ValueT]) -> ValueT:
    """Run to the end on a loop of its own thread: the caller may be in a loop already."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()
