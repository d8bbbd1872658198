"""Why a VM is paused or off, as the hypervisor tells.

Revision: 0014
After: 0016
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add the column, empty: a default of the server, so that no row is written (at once on all three databases)."""
    op.add_column("virtual_machines", sa.Column("status_reason", sa.String(32), nullable=False, server_default=""))


def downgrade() -> None:
    """Forget the reasons; the next look at the hypervisor of a newer version finds them again."""
    op.drop_column("virtual_machines", "status_reason")
