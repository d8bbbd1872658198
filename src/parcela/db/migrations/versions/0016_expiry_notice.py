"""Which end of life the owner of a slice was told of.

Revision: 0016
After: 0010
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from parcela.models.base import UtcDateTime

revision: str = "0016"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Plain ADD and DROP COLUMN: no database writes the table anew for these.
    op.add_column("slices", sa.Column("notified_expiry", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("slices", "notified_expiry")
