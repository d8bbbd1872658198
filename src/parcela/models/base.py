"""What all tables share: naming convention, portable column types, columns everybody has."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    String,
    Table,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

Id = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only when the primary key is an INTEGER."""


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes with microseconds.

    SQLite and MariaDB give naive ones back, and MariaDB's DATETIME drops the microseconds without ``fsp=6``.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Microseconds on MySQL and MariaDB, a time zone on PostgreSQL."""
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Of SQLite's text straight to an aware time: pages have hundreds of them, and three calls for each add up."""
        return _from_text if dialect.name == "sqlite" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give aware UTC back."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value + "+00:00")


class Base(DeclarativeBase):
    """Base of all models; no relationships: repositories join explicitly (DESIGN 11.3)."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012 (SQLAlchemy reads it as a plain class attribute)

    @classmethod
    def __table_cls__(cls, *args: Any, **options: Any) -> Table:
        """The table of a model; on SQLite its database numbers rows by AUTOINCREMENT.

        Without it SQLite gives the highest id again when its row was removed, and a new user read the events of a
        deleted one. The other databases never do.
        """
        keys = [item for item in args if isinstance(item, Column) and item.primary_key]
        if [key.autoincrement for key in keys] == [True]:
            options["sqlite_autoincrement"] = True
        return Table(*args, **options)


def pk() -> Mapped[int]:
    """Primary key column, numbered by the database. No number is ever used again."""
    return mapped_column(Id, primary_key=True, autoincrement=True)


def one_of(column: str, enum: type[StrEnum]) -> CheckConstraint:
    """Named CHECK that a text column holds a value of the enum."""
    values = ", ".join(f"'{member.value}'" for member in enum)
    return CheckConstraint(f"{column} IN ({values})", name=f"{column}_known")


def state_column(default: StrEnum) -> Mapped[str]:
    """Text column for a state."""
    return mapped_column(String(32), default=default.value, nullable=False)
