"""Indexes for the orders of the lists of VMs and slices.

With 1,000,000 VMs PostgreSQL sorted all of them for every page that was not by id: seconds instead of milliseconds.

Revision: 0009
After: 0007
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0009"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLES = ("slices", "virtual_machines")
COLUMNS = ("state", "name", "created_at")


def upgrade() -> None:
    """Index (column, id); that of the state alone is no longer needed."""
    for table in TABLES:
        for column in COLUMNS:
            op.create_index(f"ix_{table}_{column}_id", table, [column, "id"])
        op.drop_index(f"ix_{table}_state", table)


def downgrade() -> None:
    """Index the state alone again."""
    for table in TABLES:
        op.create_index(f"ix_{table}_state", table, ["state"])
        for column in COLUMNS:
            op.drop_index(f"ix_{table}_{column}_id", table)
