"""What a statement was to write, as the drivers tell it: for errors that do not name a column."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.exc import DBAPIError

_INSERT = re.compile(
    r"INSERT\s+INTO\s+[\"`]?(?P<table>\w+)[\"`]?\s*\((?P<columns>[^)]*)\)\s*VALUES\s*\((?P<values>.*)", re.DOTALL
)
_UPDATE = re.compile(r"UPDATE\s+[\"`]?(?P<table>\w+)[\"`]?\s+SET\s+(?P<set>.*)", re.DOTALL)
_DELETE = re.compile(r"DELETE\s+FROM\s+[\"`]?(?P<table>\w+)")
_PLACE = re.compile(r"\$(?P<number>\d+)|(?P<next>\?|%s)")
_ASSIGNED = re.compile(r"[\"`]?(?P<column>\w+)[\"`]?\s*=\s*(?P<place>\$\d+|\?|%s)")


@dataclass(frozen=True, slots=True)
class Written:
    """What was to be written.

    Attributes:
        table: "" when it is not known.
        values: by column, one for each row.
        deletes: whether rows were to go.
    """

    table: str = ""
    values: Mapping[str, Sequence[object]] = field(default_factory=dict)
    deletes: bool = False


def written(exc: DBAPIError) -> Written:
    """Read the statement of an error: an INSERT, an UPDATE or a DELETE as SQLAlchemy writes them."""
    statement = exc.statement or ""
    rows = _rows(exc.params)
    if found := _DELETE.match(statement):
        return Written(found["table"], deletes=True)
    if found := _INSERT.match(statement):
        columns = [name.strip(' "`') for name in found["columns"].split(",")]
        places = [place[0] for place in _PLACE.finditer(found["values"])]
        return Written(found["table"], _values(list(zip(columns, places, strict=False)), rows))
    if found := _UPDATE.match(statement):
        assigned = [(place["column"], place["place"]) for place in _ASSIGNED.finditer(found["set"])]
        return Written(found["table"], _values(assigned, rows))
    return Written()


def _rows(params: object) -> list[Sequence[object]]:
    if isinstance(params, Mapping):
        return [list(params.values())]
    if isinstance(params, Sequence) and params and isinstance(params[0], list | tuple):
        return list(params)
    return [params] if isinstance(params, Sequence) else []


def _values(places: Sequence[tuple[str, str]], rows: Sequence[Sequence[object]]) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for order, (column, place) in enumerate(places):
        number = int(place[1:]) - 1 if place.startswith("$") else order
        found[column] = [row[number] for row in rows if number < len(row)]
    return found
