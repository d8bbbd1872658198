"""Machines of the lab and their maintenance.

Revision: 0003
After: 0002
"""

from collections.abc import Sequence

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Nothing yet: the number is taken, so that parts built side by side keep one line of migrations."""


def downgrade() -> None:
    """Nothing yet."""
