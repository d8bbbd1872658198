"""The word in which somebody said a machine's status, for clients that show it as they sent it.

Revision: 0018
After: 0021
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0021"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add the column, empty: a default of the server, so that no row is written (at once on all three databases)."""
    op.add_column("machines", sa.Column("status_word", sa.String(64), nullable=False, server_default=""))


def downgrade() -> None:
    """The words are lost; the statuses stay."""
    op.drop_column("machines", "status_word")
