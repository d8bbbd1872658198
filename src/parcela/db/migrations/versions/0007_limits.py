"""What the older APIs keep.

Revision: 0007
After: 0006
"""

from collections.abc import Sequence

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Nothing yet: the number is taken, so that parts built side by side keep one line of migrations."""


def downgrade() -> None:
    """Nothing yet."""
