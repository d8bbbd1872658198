"""Shapes that several resources share."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

ItemT = TypeVar("ItemT", bound=BaseModel)


class Schema(BaseModel):
    """Base of answers: built from rows and objects."""

    model_config = ConfigDict(from_attributes=True)


class Body(BaseModel):
    """Base of request bodies: unknown fields are errors, so that a typing mistake is noticed."""

    model_config = ConfigDict(extra="forbid")


class PageRead(BaseModel, Generic[ItemT]):
    """One page of a list."""

    items: Sequence[ItemT]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null at the end")


def fields_set(body: BaseModel) -> dict[str, Any]:
    """The fields the client sent, for PATCH-like updates."""
    return body.model_dump(exclude_unset=True)
