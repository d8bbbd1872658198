"""Whether a database is ours to change: one of another system is refused before anything is changed in it."""

from sqlalchemy import Connection, inspect, text

from parcela.core.errors import Problem, conflict

VERSIONS_TABLE = "alembic_version"
MAX_NAMED = 5


def refuse_foreign_tables(connection: Connection) -> None:
    """Raise when the database has tables, but no version of a schema (of ours or of another, which Alembic refuses).

    Called by whoever holds the lock of migrations: meanwhile the tables of another replica may be half made.

    Raises:
        ParcelaError: kind ``conflict``, code ``database_not_ours``.
    """
    tables = sorted(inspect(connection).get_table_names())
    version = None
    if VERSIONS_TABLE in tables:
        tables.remove(VERSIONS_TABLE)
        version = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    connection.rollback()  # only looked; migrations begin transactions of their own
    if version is not None or not tables:
        return
    rest = len(tables) - MAX_NAMED
    named = ", ".join(tables[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
    what = (
        f"The database '{connection.engine.url.database}' has tables ({named}) and no schema version of Parcela's, so "
        "it belongs to another system: nothing was changed in it. Give Parcela a database of its own (DATABASE_URL)."
    )
    raise conflict("database_not_ours", what, Problem("DATABASE_URL", what, "database_not_ours"))
