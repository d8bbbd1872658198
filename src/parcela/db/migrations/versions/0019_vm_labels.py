"""Labels of VMs: what people call them, beside the host name.

Revision: 0019
After: 0017
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add the column, empty: a default of the server, so that no row is written (at once on all three databases)."""
    op.add_column("virtual_machines", sa.Column("label", sa.String(100), nullable=False, server_default=""))
    op.create_index("ix_virtual_machines_label_id", "virtual_machines", ["label", "id"])


def downgrade() -> None:
    """Labels are lost; the names stay."""
    op.drop_index("ix_virtual_machines_label_id", "virtual_machines")
    op.drop_column("virtual_machines", "label")
