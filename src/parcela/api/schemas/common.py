"""Shapes that several resources share."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import to_json

from parcela.core.collation import all_composed

ItemT = TypeVar("ItemT", bound=BaseModel)


class Schema(BaseModel):
    """Base of answers: built from rows and objects."""

    model_config = ConfigDict(from_attributes=True)


Composed = BeforeValidator(all_composed)
"""Of text outside of bodies (filters, forms): in NFC, before its length is looked at."""


_BEGINS_WITH_A_DAY = re.compile(r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _calendar_day(value: Any) -> Any:
    """Refuse numbers, which pydantic would take for seconds or milliseconds since 1970, as it likes: 2026 too."""
    if value is None or isinstance(value, date) or (isinstance(value, str) and _BEGINS_WITH_A_DAY.match(value)):
        return value
    raise ValueError("a day is written as 2031-01-31, a time as 2031-01-31T00:00:00Z")


Day = Annotated[date, BeforeValidator(_calendar_day)]
Moment = Annotated[AwareDatetime, BeforeValidator(_calendar_day)]


def _printable(value: str) -> str:
    """Refuse what makes two names look like one: signs that are not seen, and spaces at the ends."""
    if value.isprintable() and value == value.strip():
        return value
    raise ValueError("a name has printable characters, without a space at either end")


Printable = AfterValidator(_printable)
"""Of names that people choose."""


def _is_exact(key: str) -> bool:
    """Whether the values of a field are bytes rather than words: another form of them would be another secret or file.

    Passwords have always been hashed as they are typed: in another form, those that are stored would open nothing.
    """
    return "password" in key or key in {"user_data", "ssh_keys"}


class Written(BaseModel):
    """Base of everything that people and programs send: its text is in NFC, before anything is checked."""

    @model_validator(mode="before")
    @classmethod
    def _compose(cls, data: Any) -> Any:
        try:
            return all_composed(data, _is_exact)
        except RecursionError as exc:
            raise ValueError("lists and objects stand too deep in each other") from exc


class Body(Written):
    """Base of request bodies: unknown fields are errors, so that a typing mistake is noticed."""

    model_config = ConfigDict(extra="forbid")


AllowedActions = Annotated[
    list[str],
    Field(
        description="What you may do with it now: everything else is refused with 403, 404 or 409",
        examples=[["stop", "destroy"]],
    ),
]


class PageRead(BaseModel, Generic[ItemT]):
    """One page of a list."""

    items: Sequence[ItemT]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null at the end")


class PageWriter(Generic[ItemT]):
    """Writes a page of rows as the bytes of ``PageRead[schema]``, without building and checking a model per row.

    For lists that are asked for all the time: rows of our own database need no validation, and the model cost more than
    the query. Fields must be plain (no nested models); a test compares the bytes with those of the models.
    """

    def __init__(self, schema: type[ItemT]) -> None:
        """Take the schema of the items; a field's label in the row is its alias, or its name."""
        fields = schema.model_fields.items()
        self._fields = [(name, str(field.validation_alias or name)) for name, field in fields]

    def write(self, rows: Sequence[Mapping[str, Any]], next_cursor: str | None) -> bytes:
        """The body."""
        items = [{name: row[label] for name, label in self._fields} for row in rows]
        return to_json({"items": items, "next_cursor": next_cursor})


def fields_set(body: BaseModel) -> dict[str, Any]:
    """The fields the client sent, for PATCH-like updates."""
    return body.model_dump(exclude_unset=True)
