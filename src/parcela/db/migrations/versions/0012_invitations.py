"""Invitations into projects, who has opened a project, and verified addresses.

Revision: 0012
After: 0014
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from parcela.models.base import UtcDateTime

revision: str = "0012"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "project_invitations",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("project_id", NUMBER, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("declined_at", UtcDateTime(), nullable=True),
        sa.Column("withdrawn_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'member', 'manager')", name=op.f("ck_project_invitations_role_known")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_invitations_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_invitations")),
        sa.UniqueConstraint("project_id", "email", name=op.f("uq_project_invitations_project_id_email")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_project_invitations_token_hash")),
    )
    op.create_index("ix_project_invitations_email", "project_invitations", ["email"])
    op.create_index("ix_project_invitations_expires_at", "project_invitations", ["expires_at"])
    op.add_column("project_members", sa.Column("opened_at", UtcDateTime(), nullable=True))
    op.execute("UPDATE project_members SET opened_at = created_at")  # who is in a project already is known there
    op.add_column("users", sa.Column("verified_email", sa.String(length=254), nullable=True))
    _vouch_for_those_who_were_made_by_others()


def _vouch_for_those_who_were_made_by_others() -> None:
    """Everybody else may have registered with an address of somebody else: their address stays unverified."""
    op.execute(
        "UPDATE users SET verified_email = email WHERE is_superuser = (1 = 1) "
        "OR role_id NOT IN (SELECT id FROM roles WHERE name = 'client') "
        "OR id IN (SELECT user_id FROM external_identities)"
    )
    users = sa.table("users", sa.column("id", NUMBER), sa.column("email"), sa.column("verified_email"))
    events = sa.table("events", sa.column("type"), sa.column("actor_id", NUMBER), sa.column("data", sa.JSON()))
    made = sa.select(events.c.data).where(events.c.type == "user.created", events.c.actor_id > 0)
    ids = [int(data["user_id"]) for (data,) in op.get_bind().execute(made) if (data or {}).get("user_id")]
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        op.execute(sa.update(users).where(users.c.id.in_(some)).values(verified_email=users.c.email))


def downgrade() -> None:
    """Invitations, and who has opened a project, are lost; members stay."""
    op.execute("ALTER TABLE users DROP COLUMN verified_email")
    # Not in batch mode: on SQLite that would write the table anew, without its CHECK constraints.
    op.execute("ALTER TABLE project_members DROP COLUMN opened_at")
    op.drop_table("project_invitations")
