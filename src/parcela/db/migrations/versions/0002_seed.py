"""Seed what every installation has: roles, flavours, the event counter, the installation id.

Revision: 0002
After: 0001
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from parcela.models.base import UtcDateTime

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# name, vCPU, MiB, GiB: DESIGN 2. A migration never reads the application's constants: they move on, it must not.
FLAVOURS = (
    ("tiny", 1, 128, 1),
    ("nano", 1, 1024, 2),
    ("mini", 1, 2048, 3),
    ("micro", 2, 2048, 4),
    ("small", 2, 4096, 6),
    ("medium", 4, 8192, 8),
    ("large", 8, 12288, 10),
    ("xlarge", 16, 16384, 12),
)
CLIENT_PERMISSIONS = ("catalogue:read", "image:create", "slice:create", "template:create", "vm:create")


def upgrade() -> None:
    if op.get_bind().execute(sa.text("SELECT COUNT(*) FROM counters")).scalar_one():
        return  # the seeds are still there: the downgrade leaves them
    now = datetime.now(UTC)
    text, number, time, flag = sa.String(255), sa.BigInteger(), UtcDateTime(), sa.Boolean()
    roles = sa.table(
        "roles",
        sa.column("id", number),
        sa.column("name", text),
        sa.column("description", text),
        sa.column("is_builtin", flag),
        sa.column("created_at", time),
    )
    builtin = (("admin", "May do everything."), ("client", "Works with their own templates, slices and VMs."))
    for name, description in builtin:
        op.execute(roles.insert().values(name=name, description=description, is_builtin=True, created_at=now))
    rights = sa.table("role_permissions", sa.column("role_id", number), sa.column("permission", text))
    for role, permissions in (("admin", ("*",)), ("client", CLIENT_PERMISSIONS)):
        role_id = sa.select(roles.c.id).where(roles.c.name == role).scalar_subquery()
        for permission in permissions:
            op.execute(rights.insert().values(role_id=role_id, permission=permission))
    flavours = sa.table(
        "flavours",
        sa.column("name", text),
        sa.column("vcpus", number),
        sa.column("memory_mib", number),
        sa.column("disk_gib", number),
        sa.column("created_at", time),
    )
    op.bulk_insert(
        flavours,
        [
            {"name": name, "vcpus": vcpus, "memory_mib": memory, "disk_gib": disk, "created_at": now}
            for name, vcpus, memory, disk in FLAVOURS
        ],
    )
    counters = sa.table("counters", sa.column("name", text), sa.column("value", number))
    for name in ("events", "segment_tags"):
        op.execute(counters.insert().values(name=name, value=0))
    installation = sa.table("installation", sa.column("uuid", text), sa.column("created_at", time))
    op.execute(installation.insert().values(uuid=str(uuid4()), created_at=now))


def downgrade() -> None:
    """Nothing: users refer to the roles and VMs to the flavours; 0001 drops the tables with all that is in them."""
