"""What the versions of templates refer to: images and flavours by id, beside the names in their documents.

Documents stay as they are. Each name in one becomes a row with the id of the thing that has this name now; a name that
nothing has is kept without one, and looked up when the template is launched, as before.

Revision: 0022
After: 0023
"""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0023"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT_ONCE = 20
"""Documents in memory; one has at most some megabytes."""
MAX_NAME = 255


def upgrade() -> None:
    op.create_table(
        "template_references",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("version_id", NUMBER, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("image_id", NUMBER, nullable=True),
        sa.Column("flavour_id", NUMBER, nullable=True),
        sa.Column("is_resolved", sa.Boolean(), nullable=False),
        sa.Column("gone_name", sa.String(length=255), nullable=True),
        sa.CheckConstraint("kind IN ('image', 'flavour')", name=op.f("ck_template_references_kind_known")),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["template_versions.id"],
            name=op.f("fk_template_references_version_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_template_references_image_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["flavour_id"], ["flavours.id"], name=op.f("fk_template_references_flavour_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_template_references")),
        sqlite_autoincrement=True,
    )
    _resolve_names()
    # After the rows: an index is built faster than it is kept.
    for column in ("version_id", "image_id", "flavour_id", "name"):
        op.create_index(f"ix_template_references_{column}", "template_references", [column])


def _resolve_names() -> None:
    connection = op.get_bind()
    known = {
        kind: {name: row_id for row_id, name in connection.execute(sa.text(f"SELECT id, name FROM {table}"))}  # noqa: S608
        for kind, table in (("image", "images"), ("flavour", "flavours"))
    }
    references = sa.table(
        "template_references",
        *map(sa.column, ("version_id", "kind", "name", "image_id", "flavour_id", "is_resolved")),
    )
    for page in _documents(connection):
        rows = [
            {
                "version_id": version_id,
                "kind": kind,
                "name": name,
                "image_id": known[kind].get(_composed(name)) if kind == "image" else None,
                "flavour_id": known[kind].get(_composed(name)) if kind == "flavour" else None,
                "is_resolved": _composed(name) in known[kind],
            }
            for version_id, document in page
            for kind, name in _names(document)
        ]
        if rows:
            connection.execute(references.insert(), rows)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # as all names are since 0023, but not those in documents


def _documents(connection: sa.Connection) -> Iterator[list[tuple[int, Any]]]:
    versions = sa.table("template_versions", sa.column("id", NUMBER), sa.column("document", sa.JSON()))
    after = 0
    while True:
        page = sa.select(versions.c.id, versions.c.document).where(versions.c.id > after)
        rows = connection.execute(page.order_by(versions.c.id).limit(AT_ONCE)).all()
        if not rows:
            return
        yield [(row_id, json.loads(found) if isinstance(found, str) else found) for row_id, found in rows]
        after = rows[-1][0]


def _names(document: Any) -> list[tuple[str, str]]:
    """(kind, name) of what a document refers to, each once; what has another shape refers to nothing."""
    vms = document.get("vms") if isinstance(document, dict) else None
    named = [
        (kind, vm[kind])
        for vm in (vms if isinstance(vms, list) else [])
        if isinstance(vm, dict)
        for kind in ("image", "flavour")
        if isinstance(vm.get(kind), str) and 0 < len(vm[kind]) <= MAX_NAME
    ]
    return list(dict.fromkeys(named))


def downgrade() -> None:
    """Documents have the names that they were stored with; what was renamed since is not found by them."""
    op.drop_table("template_references")
