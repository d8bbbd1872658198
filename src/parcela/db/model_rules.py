"""What the models allow in each column, in sentences for people: by the name of a constraint, or of a column.

Sentences are made of the models, so that a new constraint has one. Where the condition is no list and no range,
``SPECIAL`` says it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
)
from sqlalchemy.schema import Column, Constraint, Table
from sqlalchemy.types import TypeDecorator, TypeEngine

from parcela.models import Base

FIELDS: Mapping[str, str] = {
    "virtual_machines.memory_mib": "ram",
    "virtual_machines.disk_gib": "disk",
    "virtual_machines.image_id": "os",
    "virtual_machines.flavour_id": "flavour",
    "virtual_machines.zone_id": "zone",
    "virtual_machines.state": "status",
    "slices.zone_id": "zone",
    "users.role_id": "role",
    "users.password_hash": "password",
    "projects.name_key": "name",
    "external_identities.key_hash": "subject",
    "attachments.file": "file",
}
"""What the API calls a column, where that is not its name."""
SPECIAL: Mapping[str, tuple[str, str]] = {
    "ck_users_email_lower": ("email", "An e-mail address is stored in lower case."),
    "ck_users_username_lower": ("username", "A username is in lower case."),
    "ck_machines_code_upper": ("code", "The code of a machine is in capitals."),
    "ck_quotas_one_holder": (
        "user_id, project_id",
        "A quota is of one user or of one project, not of both or neither.",
    ),
    "ck_hosts_vcpus_capacity": ("vcpus", "A host gives away no more vCPUs than it has."),
    "ck_hosts_memory_capacity": ("memory_mib", "A host gives away no more memory than it has."),
    "ck_hosts_disk_capacity": ("disk_gib", "A host gives away no more disk than it has."),
}
INT32, INT64 = 2**31 - 1, 2**63 - 1
_LIST = re.compile(r"^(?P<column>\w+) IN \((?P<values>.+)\)$")
_RANGE = re.compile(r"^(?P<column>\w+) BETWEEN (?P<least>-?\d+) AND (?P<most>-?\d+)$")
_LEAST = re.compile(r"^(?P<column>\w+) >= (?P<least>-?\d+)$")


@dataclass(frozen=True, slots=True)
class ModelRule:
    """What is allowed.

    Attributes:
        fields: as the API names them; several are joined by ", ".
        sentence: what is allowed there.
    """

    fields: str
    sentence: str


def field_of(table: str, column: str) -> str:
    """The API's name of a column."""
    return FIELDS.get(f"{table}.{column}", column)


def noun_of(table: str) -> str:
    """What people call a row of a table."""
    words = table.replace("_", " ")
    return words.removesuffix("ies") + "y" if words.endswith("ies") else words.removesuffix("s")


def rule_of(name: str) -> ModelRule | None:
    """What a named constraint of the models asks for; None when none has this name."""
    if name in SPECIAL:
        return ModelRule(*SPECIAL[name])
    found = _CONSTRAINTS.get(name)
    if found is None:
        return None
    table, constraint = found
    if isinstance(constraint, CheckConstraint):
        return _of_check(table.name, str(constraint.sqltext))
    fields = ", ".join(field_of(table.name, column.name) for column in _columns(constraint))
    if isinstance(constraint, ForeignKeyConstraint):
        return ModelRule(fields, f"There is no such {noun_of(constraint.referred_table.name)}.")
    return ModelRule(fields, f"There is already one with this {fields.replace(', ', ' and ')}.")


def rule_of_column(table: str, column: str) -> ModelRule | None:
    """What the type of a column can keep; None for types without such a limit, and for columns that there are not."""
    found = column_of(table, column)
    if found is None:
        return None
    kept = _kept_as(found)
    if isinstance(kept, String) and kept.length:
        return ModelRule(field_of(table, column), f"At most {kept.length} characters are allowed.")
    if isinstance(kept, Integer):
        most = INT64 if isinstance(kept, BigInteger) else INT32
        return ModelRule(field_of(table, column), f"A whole number from {-most - 1} to {most} is allowed.")
    return None


def column_of(table: str, column: str) -> Column[object] | None:
    """A column of the models."""
    found = Base.metadata.tables.get(table)
    return None if found is None else found.columns.get(column)


def references_of(table: str) -> list[str]:
    """Columns of a table that refer to rows of others."""
    return [column.name for column in Base.metadata.tables[table].columns if column.foreign_keys]


def _kept_as(column: Column[object]) -> TypeEngine[Any]:
    """The type that the database has for a column: that of text which is stored in one form is behind ours."""
    return column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type


def is_too_large(column: Column[object], value: object) -> bool:
    """Whether a column cannot keep a value: too many characters, or a number beyond its type."""
    kept = _kept_as(column)
    if isinstance(kept, String) and isinstance(value, str):
        return kept.length is not None and len(value) > kept.length
    if isinstance(kept, Integer) and isinstance(value, int):
        most = INT64 if isinstance(kept, BigInteger) else INT32
        return not -most - 1 <= value <= most
    return False


def _of_check(table: str, condition: str) -> ModelRule | None:
    if found := _LIST.match(condition):
        allowed = found["values"].replace("'", "")
        return ModelRule(field_of(table, found["column"]), f"Allowed are {allowed}.")
    if found := _RANGE.match(condition):
        return ModelRule(field_of(table, found["column"]), f"Allowed is {found['least']} to {found['most']}.")
    if found := _LEAST.match(condition):
        return ModelRule(field_of(table, found["column"]), f"Allowed is {found['least']} or more.")
    return None


def _columns(constraint: Constraint) -> list[Column[object]]:
    kinds = UniqueConstraint | ForeignKeyConstraint | PrimaryKeyConstraint
    return list(constraint.columns) if isinstance(constraint, kinds) else []


_CONSTRAINTS: Mapping[str, tuple[Table, Constraint]] = {
    str(constraint.name): (table, constraint)
    for table in Base.metadata.sorted_tables
    for constraint in table.constraints
    if isinstance(constraint, CheckConstraint | UniqueConstraint | ForeignKeyConstraint | PrimaryKeyConstraint)
}
