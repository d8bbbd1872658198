"""Tokens whose holder is a client of the older API ``vm_api``.

Revision: 0020
After: 0018
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add the mark, off for every token there is: a default of the server, so that no row is written."""
    op.add_column("api_tokens", sa.Column("speaks_vm_api", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    """The marks are lost: sessions of old clients get the canonical shapes until their next login."""
    op.drop_column("api_tokens", "speaks_vm_api")
