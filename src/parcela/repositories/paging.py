"""Keyset pagination: a page costs the same at row 1 and at row 1,000,000."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.core.collation import sort_key
from parcela.core.errors import Problem, invalid
from parcela.models.base import UtcDateTime
from parcela.models.derived import Written, sort_column

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
MAX_ID = 2**63 - 1
MAX_CURSOR_CHARS = 2000
"""A cursor holds a text of up to 255 characters, of four bytes each, in base 64."""
_ROWS = "page_rows"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What part of a list is wanted.

    Attributes:
        limit: rows per page, 1..200.
        cursor: ``next_cursor`` of the page before, or None for the first one.
        sort: column name, with ``-`` in front for descending, e.g. ``-created_at``.
        skip: rows before the page, 0..2**31 - 1; for older APIs, which count them. It costs as much as reading them.
    """

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    sort: str = "id"
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a page and the cursor of the next one (None at the end)."""

    rows: Sequence[Mapping[str, Any]]
    next_cursor: str | None


def _encode(sort: str, value: object, row_id: int) -> str:
    # Letters as they are: written as \\u0000 a long name in Greek did not fit into the address any more.
    raw = json.dumps([sort, value.isoformat() if isinstance(value, date) else value, row_id], ensure_ascii=False)
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def _decode(cursor: str, sort: str, wanted: type) -> tuple[Any, int]:
    """(value, id) of a cursor that this list gave; ``wanted`` is the type of the column's values.

    Anybody can forge a cursor, so a value that the database's driver would choke on is refused here.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        kept_sort, value, row_id = json.loads(raw)
        if wanted is datetime:
            value = datetime.fromisoformat(value)
        elif wanted is date:
            value = date.fromisoformat(value)
        good = type(value) is wanted and type(row_id) is int and 0 < row_id <= MAX_ID and kept_sort == sort
        good = good and not (wanted is datetime and value.tzinfo is None)
        good = good and not (wanted is int and abs(value) > MAX_ID) and not (wanted is str and "\x00" in value)
        if not good:
            raise ValueError(cursor)
    except (ValueError, TypeError, binascii.Error, RecursionError, OverflowError) as exc:
        text = "The cursor is not one that this list gave for this order; begin without one."
        raise invalid("bad_cursor", text, Problem("query.cursor", text, "bad_cursor")) from exc
    return value, row_id


def order_of(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """What a list that is sorted by ``column`` is ordered by.

    Raises:
        TypeError: text without a sort key would be in another order on every database.
    """
    key = sort_column(column)
    if key is None and isinstance(column.type, Written):
        raise TypeError(f"{column} has no sort key")
    return column if key is None else key


def _type_of(column: ColumnElement[Any]) -> type:
    return datetime if isinstance(column.type, UtcDateTime) else column.type.python_type


async def fetch_page(
    session: AsyncSession,
    statement: Select[Any],
    request: PageRequest,
    *,
    sortable: Mapping[str, ColumnElement[Any]],
    id_column: ColumnElement[int],
) -> Page:
    """Run a SELECT of Core columns (one of them labelled ``id``) for one page.

    Args:
        session: where to run it.
        statement: SELECT with its filters, without order or limit.
        request: page wanted.
        sortable: columns that may be sorted by; their names are labels of the SELECT; ``id`` is always possible. Text
            that people write is ordered by its sort key, which the SELECT need not have: cursors hold the text.
        id_column: breaks ties and makes the order total.
    """
    name = request.sort.removeprefix("-")
    descending = request.sort.startswith("-")
    columns = {"id": id_column, **sortable}
    if name not in columns:
        text = f"Sorting is possible by: {', '.join(sorted(columns))} (with '-' in front for descending)."
        raise invalid("bad_sort", text, Problem("query.sort", text, "bad_sort"))
    column = columns[name]
    key = order_of(column)
    if request.cursor:
        value, row_id = _decode(request.cursor, request.sort, _type_of(column))
        id_past = id_column < row_id if descending else id_column > row_id
        if name == "id":
            statement = statement.where(id_past)
        else:
            # The first condition is for MariaDB, which finds no beginning in an index by a pair. As (a > x OR a = x AND
            # id > y) no database does: a page in the middle of 1,000,000 rows cost as much as half of them.
            place = value if key is column else sort_key(value)
            here, pair = literal(place, key.type), tuple_(key, id_column)
            marked = tuple_(here, literal(row_id, id_column.type))
            past = and_(key <= here, pair < marked) if descending else and_(key >= here, pair > marked)
            statement = statement.where(past)
    order = (key.desc(), id_column.desc()) if descending else (key.asc(), id_column.asc())
    statement = statement.order_by(*(order[1:] if name == "id" else order)).limit(bindparam(_ROWS, type_=Integer()))
    if request.skip:
        statement = statement.offset(request.skip)
    return await read_page(session, statement, request)


def first_page(statement: Select[Any], id_column: ColumnElement[int]) -> Select[Any]:
    """A statement for first pages by id, to be made once and given to ``read_page`` every time.

    SQLAlchemy remembers of the object itself what it compiled it to; of one that is made for every request it has to
    find out first that it is the same, which takes as long as running it.
    """
    return statement.order_by(id_column.asc()).limit(bindparam(_ROWS, type_=Integer()))


async def read_page(session: AsyncSession, statement: Select[Any], request: PageRequest, **values: Any) -> Page:
    """Run a statement that gives one row more than the page has; ``values`` are those of its own parameters."""
    result = await session.execute(statement, {_ROWS: request.limit + 1, **values})
    labels = [str(label) for label in result.keys()]  # noqa: SIM118 (a result is no dict); labels are text
    rows: list[dict[str, Any]] = [dict(zip(labels, row, strict=True)) for row in result.all()]
    if len(rows) <= request.limit:
        return Page(rows, None)
    rows = rows[: request.limit]
    return Page(rows, _encode(request.sort, rows[-1][request.sort.removeprefix("-")], rows[-1]["id"]))
