"""Images of projects, and ceilings of bytes of images per user and project.

Revision: 0017
After: 0012
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OF_PROJECTS = ("images", "image_uploads")


def upgrade() -> None:
    # Plain ADD and DROP COLUMN: no database writes the table anew for these.
    for table in OF_PROJECTS:
        op.add_column(table, sa.Column("project_id", NUMBER, nullable=True))
        op.create_index(f"ix_{table}_project_id", table, ["project_id"])
    op.add_column("quotas", sa.Column("max_images_gib", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Images of projects become their owners' alone; ceilings of images are lost."""
    op.drop_column("quotas", "max_images_gib")
    for table in reversed(OF_PROJECTS):
        op.drop_index(f"ix_{table}_project_id", table)
        op.drop_column(table, "project_id")
