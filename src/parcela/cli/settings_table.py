"""The reference table of the settings, made from their class."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from parcela.core.settings import Settings, allowed_values, env_name

CLIENT_VARIABLES: Mapping[str, str] = {
    "PARCELA_URL": "Address of the server; `--url` goes before it, the server of the last login comes after it.",
    "PARCELA_TOKEN": "Token to use instead of the saved session, e.g. a personal one.",
    "PARCELA_CONFIG": "File of the saved sessions; else `~/.config/parcela/cli.json`.",
}
HEAD = """# Settings

Parcela reads these environment variables, and after them a file `.env` in the working folder. An unknown `PARCELA_*`
variable or a bad value stops the start (exit code 78); all problems are listed at once. Lists are separated by commas.

This page is generated from the settings class: `parcela settings --markdown -o docs/reference/settings.md`.

## Server

| variable | default | allowed | meaning |
|---|---|---|---|
"""
CLIENT_HEAD = """
## Client

These belong to the other commands of `parcela`; `serve` takes no notice of them.

| variable | meaning |
|---|---|
"""
_FREE: Mapping[str, str] = {
    "Path": "a path",
    "str": "text",
    "SecretStr": "text",
}


def rows() -> list[dict[str, Any]]:
    """All settings: ``name``, ``default``, ``allowed``, ``meaning``."""
    return [
        {
            "name": env_name(name),
            "default": default_text(field),
            "allowed": allowed_values(name) or _kind(field),
            "meaning": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]


def default_text(field: FieldInfo) -> str:
    """The default as one would write it; "" for none. A default that depends on the machine is described."""
    factory: Any = field.default_factory
    if factory is None:
        value = field.default
    elif factory is tuple or factory.__name__ == "<lambda>":
        value = factory()
    else:
        return str(factory.__doc__).replace("``", "").rstrip(".")
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value.value) if isinstance(value, Enum) else str(value)


def _kind(field: FieldInfo) -> str:
    name = getattr(field.annotation, "__name__", "")
    return _FREE.get(name, "a list" if name == "tuple" else "text")


def markdown() -> str:
    """The page ``docs/reference/settings.md``."""
    lines = [
        f"| `{row['name']}` | {_code(row['default'])} | {_cell(row['allowed'])} | {_cell(row['meaning'])} |"
        for row in rows()
    ]
    client = [f"| `{name}` | {_cell(text)} |" for name, text in CLIENT_VARIABLES.items()]
    return HEAD + "\n".join(lines) + "\n" + CLIENT_HEAD + "\n".join(client) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text and " for " not in text else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
