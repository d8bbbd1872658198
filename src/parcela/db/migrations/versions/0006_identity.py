"""Second factor, single sign-on, password resets.

Revision: 0006
After: 0005
"""

from collections.abc import Sequence

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Nothing yet: the number is taken, so that parts built side by side keep one line of migrations."""


def downgrade() -> None:
    """Nothing yet."""
