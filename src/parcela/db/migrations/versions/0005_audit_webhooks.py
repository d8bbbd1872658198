"""Audit trail and outgoing webhooks.

Revision: 0005
After: 0004
"""

from collections.abc import Sequence

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Nothing yet: the number is taken, so that parts built side by side keep one line of migrations."""


def downgrade() -> None:
    """Nothing yet."""
