"""Every rule of the models has a sentence that names the field and what is allowed."""

import pytest
from sqlalchemy import CheckConstraint, ForeignKeyConstraint, String, UniqueConstraint
from sqlalchemy.exc import IntegrityError

from parcela.core.errors import ErrorKind
from parcela.db.constraints import constraint_name, translate
from parcela.db.model_rules import rule_of, rule_of_column
from parcela.db.statements import written
from parcela.models import Base

KINDS = CheckConstraint | UniqueConstraint | ForeignKeyConstraint
NAMES = sorted(
    str(constraint.name)
    for table in Base.metadata.sorted_tables
    for constraint in table.constraints
    if isinstance(constraint, KINDS)
)
COLUMNS = [(table.name, column.name) for table in Base.metadata.sorted_tables for column in table.columns]


def violated(text: str, statement: str = "", params: object = ()) -> IntegrityError:
    return IntegrityError(statement, params, Exception(text))  # type: ignore[arg-type]


def test_every_constraint_has_a_name_of_its_own() -> None:
    assert len(NAMES) == len(set(NAMES)) > 100


@pytest.mark.parametrize("name", NAMES)
def test_every_constraint_names_its_field_and_what_is_allowed(name: str) -> None:
    rule = rule_of(name)
    assert rule is not None, f"{name} is no list and no range: add it to SPECIAL of db/model_rules.py"
    assert rule.fields
    assert rule.sentence.endswith(".")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["CHECK constraint failed: {}", "CONSTRAINT `{}` failed for `d`.`t`"])
def test_no_constraint_is_answered_without_its_field(name: str, text: str) -> None:
    error = translate(violated(text.format(name)))
    assert error.code != "constraint_violated"
    assert error.kind in {ErrorKind.CONFLICT, ErrorKind.INVALID, ErrorKind.NO_CAPACITY}
    assert error.problems or error.kind is ErrorKind.NO_CAPACITY


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_every_column_with_a_limit_tells_it(table: str, column: str) -> None:
    kind = Base.metadata.tables[table].columns[column].type
    rule = rule_of_column(table, column)
    if isinstance(kind, String) and kind.length:
        assert rule is not None
        assert str(kind.length) in rule.sentence


def test_a_value_that_looks_like_a_constraint_is_not_taken_for_one() -> None:
    error = violated("(1062, \"Duplicate entry 'uq_roles_name' for key 'uq_users_email'\")")
    assert constraint_name(error) == "uq_users_email"


def test_what_triggers_refuse_is_not_called_a_duplicate() -> None:
    error = translate(violated("audit entries are never changed", "DELETE FROM audit_entries WHERE id = ?", (1,)))
    assert (error.code, error.message) == ("constraint_violated", "The rules of audit entries do not allow this.")


@pytest.mark.parametrize(
    ("statement", "params", "values"),
    [
        ("INSERT INTO roles (name, is_builtin) VALUES (?, ?)", ("a", 1), {"name": ["a"], "is_builtin": [1]}),
        ("INSERT INTO roles (name, `key`) VALUES (%s, %s)", [("a", 1), ("b", 2)], {"name": ["a", "b"], "key": [1, 2]}),
        (
            'INSERT INTO roles ("name", n) VALUES ($2::VARCHAR, $1::BIGINT) RETURNING roles.id',
            (5, "a"),
            {"name": ["a"], "n": [5]},
        ),
        ("UPDATE roles SET name=$1::VARCHAR, n=$2::INT WHERE roles.id = $3", ("a", 5, 9), {"name": ["a"], "n": [5]}),
        ("UPDATE roles SET name=?, n=(roles.n + ?) WHERE roles.id = ?", ("a", 5, 9), {"name": ["a"]}),
    ],
)
def test_statements_are_read(statement: str, params: object, values: dict[str, list[object]]) -> None:
    found = written(violated("", statement, params))
    assert found.table == "roles"
    assert {name: list(found.values[name]) for name in values} == values
