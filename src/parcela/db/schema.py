"""Whether a database has the newest schema, without Alembic: a start that changes nothing need not load it."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from parcela.db.engine import async_url

VERSIONS = Path(__file__).parent / "migrations" / "versions"
_REVISION = re.compile(r'^revision\b[^=\n]*= *"(\w+)"', re.MULTILINE)
_AFTER = re.compile(r'^down_revision\b[^=\n]*= *"(\w+)"', re.MULTILINE)


def newest_revision(folder: Path = VERSIONS) -> str | None:
    """The revision after which none comes; None when that is not exactly one."""
    found, followed = _read(folder)
    ends = found - followed
    return ends.pop() if len(ends) == 1 else None


def known_revisions(folder: Path = VERSIONS) -> frozenset[str]:
    """Every revision that this version of Parcela brings. Their numbers need not be in their order."""
    return frozenset(_read(folder)[0])


def _read(folder: Path) -> tuple[set[str], set[str]]:
    """The revisions, and those of them that another one follows."""
    found, followed = set[str](), set[str]()
    for path in folder.glob("*.py"):
        script = path.read_text(encoding="utf-8")
        found.update(_REVISION.findall(script))
        followed.update(_AFTER.findall(script))
    return found, followed


def is_current(url: str) -> bool:
    """Whether nothing is to do. False when in doubt: Alembic then says what is the matter. Blocking, as ``upgrade``."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not (parsed.database and Path(parsed.database).exists()):
        return False  # looking would make the file
    newest = newest_revision()
    with ThreadPoolExecutor(max_workers=1) as pool:  # an own thread, because the caller may run a loop
        return newest is not None and pool.submit(asyncio.run, _revisions(url)).result() == [newest]


async def _revisions(url: str) -> list[str]:
    engine = create_async_engine(async_url(url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return list((await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars())
    except (SQLAlchemyError, OSError):
        return []
    finally:
        await engine.dispose()
