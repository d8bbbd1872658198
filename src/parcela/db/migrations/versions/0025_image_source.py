"""Images: digest and kind of the file that was uploaded, before it was unpacked or converted.

Revision: 0025
After: 0022
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0025"
down_revision: str | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add the columns; all images there are were stored as they came."""
    op.add_column("images", sa.Column("source_sha256", sa.String(64), server_default="", nullable=False))
    op.add_column("images", sa.Column("source_format", sa.String(16), server_default="", nullable=False))
    op.execute("UPDATE images SET source_sha256 = sha256, source_format = format")


def downgrade() -> None:
    """What was uploaded is forgotten; the stored files have their own digests."""
    op.drop_column("images", "source_format")
    op.drop_column("images", "source_sha256")
