"""The reference table of the settings, made from their class."""

import os
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from parcela.core.settings import Settings, allowed_values, env_name, read_older_names, variables_in_file
from parcela.core.settings_older import OLDER, Older

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
OLDER_HEAD = """
## Variables of the older systems

The variables of the systems whose APIs Parcela [keeps](older-apis.md) are understood, too. They are read where the one
of ours is not set, in the environment or in `.env`. `parcela settings` shows where each value comes from;
`parcela serve` says at its start which it reads, and which it does not and why.

- `DATABASE_URL` may be spelled as theirs were: `mysql+pymysql://`, `postgres://`, `postgresql+psycopg2://`, `sqlite:///`,
  and with `sslmode` for PostgreSQL. A database with tables of another system is refused, and nothing in it is changed:
  give Parcela one of its own.
- A server needs three: host, user and name of the database. Two servers at once stop the start.
- Names that other programs use too count in the file `.env`, or beside others of this table that are less common.
- What an installation has is not exchanged for what such a variable names: with `parcela.db` in the data folder it
  keeps its database, with `secret.key` its key. Secrets that are too short stop the start, as ours do.
- Minutes become seconds. `MONGO_DATABASE` is `parcela` unless it is set.

| variable | of | read for |
|---|---|---|
"""
CLIENT_HEAD = """
## Client

These belong to the other commands of `parcela`; `serve` takes no notice of them.

| variable | meaning |
|---|---|
"""
HIDDEN = "(not shown)"
_LOGIN = re.compile(r"(://[^/@:]*:)[^/]*@")
_QUERY_SECRET = re.compile(r"([?&](?:password|passwd|pwd|token)=)[^&]*", re.IGNORECASE)
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


def rows_in_use() -> list[dict[str, Any]]:
    """The same with ``value`` and ``source`` in this environment; secrets are not shown."""
    older, in_file = read_older_names(), variables_in_file()
    found = []
    for row, field in zip(rows(), Settings.model_fields.values(), strict=True):
        name = row["name"]
        if os.environ.get(name):
            value, source = os.environ[name], "environment"
        elif in_file.get(name):
            value, source = in_file[name], "file .env"
        elif name in older.values:
            value, names = older.values[name], older.sources[name]
            places = ["environment" if os.environ.get(one) else "file .env" for one in names]
            source = f"{', '.join(names)} ({' and '.join(sorted(set(places)))})"
        else:
            value, source = row["default"], "default"
        if source != "default" and "SecretStr" in str(field.annotation):
            value = HIDDEN
        found.append({"name": name, "value": _without_password(value), "source": source, **row})
    return found


def _without_password(text: str) -> str:
    return _QUERY_SECRET.sub(rf"\1{HIDDEN}", _LOGIN.sub(rf"\1{HIDDEN}@", text)) if "://" in text else text


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
    older = [f"| `{one.name}` | {', '.join(one.systems)} | {_use(one)} |" for one in OLDER]
    client = [f"| `{name}` | {_cell(text)} |" for name, text in CLIENT_VARIABLES.items()]
    return "\n".join(
        [HEAD.rstrip("\n"), *lines, OLDER_HEAD.rstrip("\n"), *older, CLIENT_HEAD.rstrip("\n"), *client, ""]
    )


def _use(older: Older) -> str:
    if not older.ours:
        return f"not used: {_cell(older.why)}"
    return f"`{older.ours}`" + (" (a name that other programs use too)" if older.shared else "")


def _code(text: str) -> str:
    return f"`{text}`" if text and " for " not in text else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
