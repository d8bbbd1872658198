"""Recovery and limits on guessing: what a session opened ends with it, known addresses, delays instead of locks.

Revision: 0011
After: 0009
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from parcela.models.base import UtcDateTime

revision: str = "0011"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def _id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _throttles(since: str) -> None:
    """Counters live for minutes: the table is made anew instead of being changed."""
    op.drop_table("login_throttles")
    op.create_table(
        "login_throttles",
        sa.Column("key", sa.String(length=320), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column(since, UtcDateTime(), nullable=False),
        sa.Column("locked_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_login_throttles")),
    )


def upgrade() -> None:
    # Plain ADD COLUMN on all three databases, at once however many rows there are.
    op.add_column("users", sa.Column("credential_version", sa.Integer(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("self_registered", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("console_tickets", sa.Column("token_id", _id(), server_default="0", nullable=False))
    op.add_column("console_tickets", sa.Column("family", sa.String(length=64), server_default="", nullable=False))
    op.create_table(
        "known_addresses",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("last_used_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_known_addresses_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_known_addresses")),
        sa.UniqueConstraint("user_id", "key_hash", name=op.f("uq_known_addresses_user_id_key_hash")),
    )
    op.create_index("ix_known_addresses_last_used_at", "known_addresses", ["last_used_at"])
    _throttles("last_failure_at")


def downgrade() -> None:
    """Known addresses and counters of failures are lost; accounts, sessions and tokens stay."""
    _throttles("window_started_at")
    op.drop_table("known_addresses")
    with op.batch_alter_table("console_tickets") as batch_op:
        batch_op.drop_column("family")
        batch_op.drop_column("token_id")
    with op.batch_alter_table("users") as batch_op:
        batch_op.drop_column("self_registered")
        batch_op.drop_column("credential_version")
