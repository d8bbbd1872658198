"""Retention: indexes for what is removed by age, counts of refusals, sizes of template versions, copies of images.

The triggers of the audit trail let entries go that are older than a year; younger ones are refused as before.

Revision: 0013
After: 0011
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from parcela.models.base import UtcDateTime

revision: str = "0013"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BY_AGE = (
    ("operations", "finished_at"),
    ("virtual_machines", "deleted_at"),
    ("slices", "destroyed_at"),
    ("segments", "removed_at"),
    ("webhook_deliveries", "created_at"),
    ("api_tokens", "revoked_at"),
)
REFUSAL = "audit entries are never changed or removed"
KEPT_DAYS = 365


def upgrade() -> None:
    for table, column in BY_AGE:
        op.create_index(f"ix_{table}_{column}", table, [column])
    # Plain ADD COLUMN: no database writes the table anew for these.
    op.add_column("template_versions", sa.Column("size_bytes", sa.Integer(), nullable=False, server_default="0"))
    _measure_versions()
    op.create_table(
        "image_copies",
        sa.Column("host_id", NUMBER, nullable=False, autoincrement=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_image_copies_host_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id", "sha256", name=op.f("pk_image_copies")),
    )
    op.create_table(
        "image_uploads",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("user_id", NUMBER, nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("touched_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_image_uploads_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_uploads")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_image_uploads_user_id", "image_uploads", ["user_id"])
    _count_refusals()
    _drop_triggers()
    _make_triggers(old_may_go=True)


def _measure_versions() -> None:
    kind = op.get_bind().dialect.name
    size = {"postgresql": "octet_length(document::text)", "sqlite": "length(CAST(document AS BLOB))"}
    versions = sa.table("template_versions", sa.column("size_bytes"))
    op.execute(versions.update().values(size_bytes=sa.literal_column(size.get(kind, "LENGTH(document)"))))


def _count_refusals() -> None:
    op.create_table(
        "audit_refusals",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("hour", UtcDateTime(), nullable=False),
        sa.Column("actor_id", NUMBER, nullable=False),
        sa.Column("action", sa.String(length=160), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=64), nullable=False),
        sa.Column("noun_id", sa.String(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_refusals")),
        sa.UniqueConstraint(
            "hour", "actor_id", "action", "reason", "origin", "noun_id", name=op.f("uq_audit_refusals_hour_key")
        ),
        sqlite_autoincrement=True,
    )


def _drop_triggers() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in ("audit_entries_append_only", "audit_entries_no_delete"):
            op.execute(f"DROP TRIGGER IF EXISTS {name} ON audit_entries")
        return
    for verb in ("update", "delete"):
        op.execute(f"DROP TRIGGER IF EXISTS audit_entries_no_{verb}")


def _make_triggers(*, old_may_go: bool) -> None:
    """Refuse UPDATE always, and DELETE always or of entries that are younger than a year."""
    kind = op.get_bind().dialect.name
    if kind == "postgresql":
        _make_postgres_triggers(old_may_go=old_may_go)
        return
    for verb in ("UPDATE", "DELETE"):
        head = f"CREATE TRIGGER audit_entries_no_{verb.lower()} BEFORE {verb} ON audit_entries"
        some = old_may_go and verb == "DELETE"
        if kind == "sqlite":
            when = f" WHEN OLD.at > datetime('now', '-{KEPT_DAYS} days')" if some else ""
            op.execute(f"{head}{when} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END")
            continue
        signal = f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{REFUSAL}'"
        condition = f"OLD.at > UTC_TIMESTAMP() - INTERVAL {KEPT_DAYS} DAY"
        op.execute(f"{head} FOR EACH ROW " + (f"IF {condition} THEN {signal}; END IF" if some else signal))


def _make_postgres_triggers(*, old_may_go: bool) -> None:
    refuse = "EXECUTE FUNCTION audit_entries_refuse()"
    verbs = "UPDATE OR TRUNCATE" if old_may_go else "UPDATE OR DELETE OR TRUNCATE"
    op.execute(f"CREATE TRIGGER audit_entries_append_only BEFORE {verbs} ON audit_entries FOR EACH STATEMENT {refuse}")
    if old_may_go:
        op.execute(
            "CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries "
            f"FOR EACH ROW WHEN (OLD.at > now() - interval '{KEPT_DAYS} days') {refuse}"
        )


def downgrade() -> None:
    """Counts of refusals are lost; entries that were removed do not come back."""
    _drop_triggers()
    _make_triggers(old_may_go=False)
    op.drop_table("audit_refusals")
    op.drop_table("image_uploads")
    op.drop_table("image_copies")
    # Not in batch mode: on SQLite that would write the table anew.
    op.execute("ALTER TABLE template_versions DROP COLUMN size_bytes")
    for table, column in reversed(BY_AGE):
        op.drop_index(f"ix_{table}_{column}", table)
