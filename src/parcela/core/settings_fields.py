"""What fields of the settings are made of."""

from ipaddress import ip_network
from typing import Any

from pydantic import Field
from pydantic_core import PydanticCustomError


def setting(name: str, default: Any, help_text: str, **limits: Any) -> Any:
    """Field with its exact environment name and its line in the reference table."""
    if callable(default):
        return Field(default_factory=default, validation_alias=name, description=help_text, **limits)
    return Field(default=default, validation_alias=name, description=help_text, **limits)


def bad_setting(text: str) -> PydanticCustomError:
    """A problem of a validator: the end of a sentence that begins with 'It'."""
    return PydanticCustomError("bad_setting", "{text}", {"text": text})


def split(value: object) -> object:
    """Parts of a comma-separated text; anything else as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def networks(value: tuple[str, ...]) -> tuple[str, ...]:
    """The value, when all of its parts are addresses or networks."""
    for part in value:
        try:
            ip_network(part, strict=False)
        except ValueError as exc:
            raise bad_setting(f"must be IP addresses or networks separated by commas, but '{part}' is none") from exc
    return value
