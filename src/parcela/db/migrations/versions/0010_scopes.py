"""Scopes of tokens: every verb has one of its own.

The stored scopes stay as they are: each of their names means the same as before or less (``vm:create`` deletes no VM any
more), so no token gains anything. Downgraded, the older version would read the new verbs as writing of all kinds; tokens
and webhooks that hold some keep looking at the same things, and nothing more.

Revision: 0010
After: 0013
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOOKING = ("template", "slice", "vm", "image", "operation", "event", "project")
"""Nouns of which the older version knows ``noun:read``."""
NEW = {
    *("template:update", "template:share", "template:delete"),
    *("slice:deploy", "slice:power", "slice:reset", "slice:update", "slice:delete"),
    *("vm:power", "vm:reset", "vm:console", "vm:update", "vm:delete"),
    *("image:update", "image:delete", "operation:cancel", "operation:retry"),
    *("project:update", "project:members", "project:leave"),
    *("webhook:read", "webhook:update", "webhook:rotate", "webhook:resend", "webhook:delete", "user:update"),
}


def upgrade() -> None:
    """Change nothing: see above."""


def downgrade() -> None:
    """Take the new verbs away, and leave looking in their place."""
    tokens = sa.table("api_tokens", sa.column("id", sa.BigInteger), sa.column("kind"), sa.column("scopes", sa.JSON))
    webhooks = sa.table("webhooks", sa.column("id", sa.BigInteger), sa.column("scopes", sa.JSON))
    _narrow(tokens, sa.select(tokens.c.id, tokens.c.scopes).where(tokens.c.kind == "personal"))
    _narrow(webhooks, sa.select(webhooks.c.id, webhooks.c.scopes))


def _narrow(table: sa.TableClause, rows: sa.Select[Any]) -> None:
    connection = op.get_bind()
    for row_id, scopes in connection.execute(rows).all():
        if scopes and not NEW.isdisjoint(scopes):
            nouns = {scope.split(":", 1)[0] for scope in NEW.intersection(scopes)}
            left = {*scopes} - NEW | {f"{noun}:read" for noun in nouns.intersection(LOOKING)}
            connection.execute(table.update().where(table.c.id == row_id).values(scopes=sorted(left)))
