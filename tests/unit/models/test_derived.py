"""No text is forgotten: what people write is stored in one form, and what lists go by follows from it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Column, String, create_engine, insert, select
from sqlalchemy.orm import Session

import parcela.repositories
from parcela.core.clock import utc_now
from parcela.models import Base, MaintenanceRow, Project, Slice
from parcela.models.derived import Written, rule_of, shown, sort_column, with_derived

DECOMPOSED, COMPOSED = "Sen\u0303al", "Se\u00f1al"
EXACT = {
    *(
        "action",
        "actor",
        "actor_name",
        "actor_role",
        "agent",
        "author",
        "cmdline",
        "crash_policy",
        "currency",
        "desired",
    ),
    *(
        "disabled_reason",
        "error",
        "event_type",
        "family",
        "file",
        "format",
        "guest",
        "interval_unit",
        "ip",
        "issuer",
        "key",
        "kind",
    ),
    *("label", "last_error", "lease_owner", "locale", "location", "mac", "media_type", "message", "noun", "noun_name"),
    *("origin", "os_type", "outcome", "permission", "photo_file", "photo_type", "previous_salt", "provider", "reason"),
    *("ready_marker", "recipient", "role", "salt", "sealed_body", "sealed_secret", "source_format", "state", "status"),
    *("status_before", "status_reason", "subject", "url", "user_agent", "user_data", "uuid", "visibility"),
}
"""Columns of our own words, of ASCII, of sealed bytes, and of copies that are shown as they came."""
OURS = {"counters.name", "events.type", "segments.name", "template_references.name", "template_references.gone_name"}
ENDINGS = ("id", "_hash", "path", "sha256", "address", "email")


def _texts() -> Iterator["Column[Any]"]:
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, String | Written) and rule_of(column) is None:
                yield column


def test_every_text_is_stored_in_one_form_or_said_to_be_exact() -> None:
    for column in _texts():
        exact = column.name in EXACT or str(column) in OURS or column.name.endswith(ENDINGS)
        if not isinstance(column.type, Written):
            assert exact, f"{column}: what people write is Written; else its name belongs into EXACT"


def test_a_column_that_follows_has_the_name_of_its_text_and_is_shown_nowhere() -> None:
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            rule = rule_of(column)
            if rule is None:
                continue
            assert all(isinstance(table.columns[name].type, Written) for name in rule.sources), column
            if column.name.endswith("_sort"):
                assert column.name == f"{rule.sources[0]}_sort"
                assert sort_column(table.columns[rule.sources[0]]) is column
    assert "name_sort" not in {column.name for column in shown(Slice)}


def test_rows_and_statements_fill_what_follows() -> None:
    engine = create_engine("sqlite://")
    projects = Base.metadata.tables["projects"]
    Base.metadata.create_all(engine, tables=[projects])
    now, table = utc_now(), projects.c
    with Session(engine) as session:
        row = Project(name=DECOMPOSED, created_at=now, updated_at=now)
        assert row.name == COMPOSED
        session.add(row)
        session.flush()
        facts = {"kind": "class", "description": "", "created_at": now, "updated_at": now}
        session.execute(insert(Project), [{"name": "O\u0301scar", **facts}, {"name": "nube", **facts}])
        wanted = select(table.name, table.name_sort, table.name_key).order_by(table.id)
        assert session.execute(wanted).all() == [
            (COMPOSED, "sen~al!!#", "se\u00f1al"),
            ("\u00d3scar", "oscar!a!#", "\u00f3scar"),
            ("nube", "nube", "nube"),
        ]
        row.name = "Zeta"
        session.flush()
        assert session.execute(wanted).first() == ("Zeta", "zeta!!#", "zeta")
        assert session.scalar(select(table.id).where(table.name == "O\u0301scar")) == 2
    engine.dispose()


def test_values_of_a_statement_get_what_follows_from_them() -> None:
    values = with_derived(MaintenanceRow, {"company": DECOMPOSED, "state": "done"})
    assert values == {"company": DECOMPOSED, "state": "done", "company_fold": "senal"}


def test_no_core_update_sets_a_text_alone() -> None:
    """ORM rows and INSERTs look after themselves; an UPDATE of Core says both, by ``with_derived``."""
    sources = {name for table in Base.metadata.sorted_tables for column in table.columns if (rule := rule_of(column))
               for name in rule.sources}  # fmt: skip
    for path in Path(parcela.repositories.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "values":
                named = {word.arg for word in call.keywords}
                assert not named & sources, f"{path.name}:{call.lineno}"
