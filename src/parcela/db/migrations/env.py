"""Alembic's environment: one runner at a time, on an async engine of its own thread and loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from alembic import context
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.db.foreign_tables import refuse_foreign_tables
from parcela.models import Base

LOCK_ID = 7_275_001
LOCK_TIMEOUT_S = 60


def _lock(connection: Connection) -> None:
    # Two replicas that start at once must not both migrate. SQLite needs none: its writers exclude each other.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_lock(:id)"), {"id": LOCK_ID})
        connection.commit()
    elif connection.dialect.name in {"mysql", "mariadb"}:
        connection.execute(text("SELECT GET_LOCK('parcela_migrate', :seconds)"), {"seconds": LOCK_TIMEOUT_S})
        connection.commit()


def _run(connection: Connection) -> None:
    _lock(connection)
    refuse_foreign_tables(connection)
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect()
    except (SQLAlchemyError, OSError) as exc:
        reason = exc.orig if isinstance(exc, DBAPIError) else exc
        # Whoever migrates stands at the machine, and knows the address: here the reason may be told.
        where = engine.url.render_as_string(hide_password=True)
        told = f"No connection to {where} ({reason}); see DATABASE_URL."
        raise ParcelaError(ErrorKind.UNAVAILABLE, "database_unavailable", told) from exc


async def _main(url: URL) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        connection = await _connect(engine)
        try:
            await connection.run_sync(_run)
            await connection.commit()
        finally:
            await connection.close()
    finally:
        await engine.dispose()


# An own thread, because the caller may already run a loop (tests do).
with ThreadPoolExecutor(max_workers=1) as pool:
    pool.submit(asyncio.run, _main(context.config.attributes["url"])).result()
