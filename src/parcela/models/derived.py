"""Text columns, and columns that follow from them: what is searched and what is ordered by.

Here is the only place that keeps them in step. ORM rows get theirs when they are flushed, Core INSERTs by the columns'
defaults. A Core UPDATE of a text that others follow from has to set those too: ``with_derived`` gives the values, and a
test looks for statements that do without.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Dialect, String, Table, Text, and_, event, inspect
from sqlalchemy.dialects import mysql
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapped, Mapper, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from parcela.core.collation import SORT_KEY_CHARS, caseless, composed, folded, sort_key
from parcela.models.base import Base

EXACT = "utf8mb4_bin"
"""Collation of MariaDB and MySQL that takes no two texts for the same, as SQLite and PostgreSQL do."""
SORT_SUFFIX = "_sort"
_RULE = "derived"
_NAME_CHARS = 300
FOLDED_TEXT = Text().with_variant(mysql.MEDIUMTEXT(collation=EXACT), "mysql", "mariadb")
FOLDED_NAME = String(_NAME_CHARS).with_variant(mysql.VARCHAR(_NAME_CHARS, collation=EXACT), "mysql", "mariadb")
SORT_KEY = (
    String(SORT_KEY_CHARS)
    .with_variant(String(SORT_KEY_CHARS, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(SORT_KEY_CHARS, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
)


class Written(TypeDecorator[str]):
    """Text that people write: stored and compared in NFC, so that two spellings of one accent are one text."""

    impl = String
    cache_ok = True

    @property
    def python_type(self) -> type[str]:
        """What values are; paging checks cursors against it."""
        return str

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """NFC."""
        del dialect
        return None if value is None else composed(value)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a column follows from: the texts of ``sources``, each changed by ``change``, one line for each."""

    change: Callable[[str], str]
    sources: tuple[str, ...]
    length: int

    def value(self, values: Mapping[str, Any]) -> str:
        """The column's value; ``values`` are those of the row."""
        return "\n".join(self.change(values.get(name) or "") for name in self.sources)[: self.length]

    def default(self, context: DefaultExecutionContext) -> str:
        """The column's value in an INSERT."""
        values: Mapping[str, Any] = context.get_current_parameters()  # type: ignore[no-untyped-call]
        return self.value(values)


def sort_key_of(source: str) -> Mapped[str]:
    """Column that the text ``source`` is ordered by; its name is that of the source and ``_sort``."""
    return _derived(Rule(sort_key, (source,), SORT_KEY_CHARS), SORT_KEY)


def folded_of(source: str) -> Mapped[str]:
    """Column by which a short text is found whatever its case and accents."""
    return _derived(Rule(folded, (source,), _NAME_CHARS), FOLDED_NAME)


def caseless_of(source: str) -> Mapped[str]:
    """Column that makes a name unique whatever its case; every row has one."""
    rule = Rule(caseless, (source,), _NAME_CHARS)
    return mapped_column(FOLDED_NAME, default=rule.default, info={_RULE: rule})


def folded_name(text: str) -> str:
    """What a column of ``folded_of`` is compared with."""
    return folded(text)[:_NAME_CHARS]


def search_text_of(*sources: str) -> Mapped[str]:
    """Column in which parts of texts are searched; a folded text has no end of line, so no part reaches over two."""
    return _derived(Rule(folded, sources, 1_000_000), FOLDED_TEXT)


def _derived(rule: Rule, kind: TypeEngine[str]) -> Mapped[str]:
    has_default = not isinstance(kind, Text)  # MySQL gives TEXT no default
    return mapped_column(
        kind,
        default=rule.default,
        server_default="" if has_default else None,
        nullable=not has_default,
        deferred=True,  # nobody reads it
        info={_RULE: rule},
    )


def rule_of(column: Any) -> Rule | None:
    """The rule of a column; None of one that stands for itself."""
    found = column.info.get(_RULE) if isinstance(column, Column) else None
    return found if isinstance(found, Rule) else None


@cache
def _rules(model: type[Base]) -> Mapping[str, Rule]:
    rules = {column.name: rule_of(column) for column in model.__table__.columns}
    return {name: rule for name, rule in rules.items() if rule is not None}


@cache
def shown(model: type[Base]) -> Sequence[ColumnElement[Any]]:
    """The columns of a table without those that only serve to search and to order."""
    return tuple(column for column in model.__table__.columns if rule_of(column) is None)


def sort_column(column: ColumnElement[Any]) -> ColumnElement[Any] | None:
    """What the text in ``column`` is ordered by; None when it is ordered by itself."""
    table, name = getattr(column, "table", None), getattr(column, "name", "")
    return table.columns.get(name + SORT_SUFFIX) if isinstance(table, Table) else None


def same(column: Any, value: Any) -> ColumnElement[bool]:
    """Condition: equal; of text letter by letter on MariaDB too, and by the index of its sort key."""
    key, equal = sort_column(column), column == value
    return equal if key is None else and_(key == sort_key(value), equal)


def with_derived(model: type[Base], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a Core UPDATE that sets all texts which a column follows from, and these columns."""
    return dict(values) | {
        name: rule.value(values) for name, rule in _rules(model).items() if not values.keys().isdisjoint(rule.sources)
    }


@event.listens_for(Base, "before_update", propagate=True)
def _follow(_mapper: object, _connection: object, row: Base) -> None:
    state = inspect(row)
    for column, rule in _rules(type(row)).items():
        if any(state.attrs[name].history.has_changes() for name in rule.sources):
            setattr(row, column, rule.value({name: getattr(row, name) for name in rule.sources}))


@event.listens_for(Mapper, "after_mapper_constructed")
def _compose(mapper: Mapper[Any], model: type[Any]) -> None:
    """NFC in rows as soon as they are given a text: answers are made of them before they are read back."""
    for attribute in mapper.column_attrs:
        if isinstance(attribute.columns[0].type, Written):
            event.listen(getattr(model, attribute.key), "set", _composed, retval=True)


def _composed(_row: Base, value: Any, _before: object, _initiator: object) -> Any:
    return composed(value) if isinstance(value, str) else value
