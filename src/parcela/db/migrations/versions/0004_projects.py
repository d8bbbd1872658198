"""Projects, memberships and quotas.

Revision: 0004
After: 0003
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from parcela.models.base import UtcDateTime

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
IN_PROJECTS = ("templates", "slices", "virtual_machines", "operations", "events")
RESOURCES = ("vcpus", "memory_mib", "disk_gib", "vms", "slices")
LARGE = ("memory_mib", "disk_gib")


def _amount(name: str) -> sa.types.TypeEngine[int]:
    return sa.BigInteger() if name in LARGE else sa.Integer()


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("name_key", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("description", sa.String(length=1000), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("kind IN ('class', 'team')", name=op.f("ck_projects_kind_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name_key", name=op.f("uq_projects_name_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "project_members",
        sa.Column("project_id", NUMBER, nullable=False),
        sa.Column("user_id", NUMBER, nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("role IN ('viewer', 'member', 'manager')", name=op.f("ck_project_members_role_known")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_members_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_project_members_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "user_id", name=op.f("pk_project_members")),
    )
    op.create_index("ix_project_members_user_id", "project_members", ["user_id"])
    op.create_table(
        "quotas",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("user_id", NUMBER, nullable=True),
        sa.Column("project_id", NUMBER, nullable=True),
        *(sa.Column(f"max_{name}", _amount(name), nullable=True) for name in RESOURCES),
        *(sa.Column(f"used_{name}", _amount(name), nullable=False) for name in RESOURCES),
        sa.CheckConstraint("(user_id IS NULL) <> (project_id IS NULL)", name=op.f("ck_quotas_one_holder")),
        *(sa.CheckConstraint(f"used_{name} >= 0", name=op.f(f"ck_quotas_used_{name}_positive")) for name in RESOURCES),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_quotas_user_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_quotas_project_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quotas")),
        sa.UniqueConstraint("user_id", name=op.f("uq_quotas_user_id")),
        sa.UniqueConstraint("project_id", name=op.f("uq_quotas_project_id")),
    )
    # Plain ADD COLUMN: instant on all three databases, however many rows there are.
    for table in IN_PROJECTS:
        op.add_column(table, sa.Column("project_id", NUMBER, nullable=True))
        op.create_index(f"ix_{table}_project_id", table, ["project_id"])
    op.add_column("reservations", sa.Column("quota_id", NUMBER, nullable=True))
    op.create_index("ix_reservations_quota_id", "reservations", ["quota_id"])
    _count_what_is_used()


def _count_what_is_used() -> None:
    """What people use already counts against their ceilings from the first moment."""
    op.execute(
        "INSERT INTO quotas (user_id, used_vcpus, used_memory_mib, used_disk_gib, used_vms, used_slices) "
        "SELECT vm.owner_id, SUM(r.vcpus), SUM(r.memory_mib), SUM(r.disk_gib), COUNT(r.id), COUNT(DISTINCT vm.slice_id) "
        "FROM reservations r JOIN virtual_machines vm ON vm.id = r.vm_id GROUP BY vm.owner_id"
    )
    op.execute(
        "UPDATE reservations SET quota_id = (SELECT q.id FROM quotas q JOIN virtual_machines vm "
        "ON vm.owner_id = q.user_id WHERE vm.id = reservations.vm_id)"
    )


def downgrade() -> None:
    """Projects, memberships and ceilings are lost; what was in a project stays with its owner."""
    op.drop_index("ix_reservations_quota_id", table_name="reservations")
    # Not in batch mode: on SQLite that would write the table anew, without its CHECK constraints.
    op.execute("ALTER TABLE reservations DROP COLUMN quota_id")
    for table in reversed(IN_PROJECTS):
        op.drop_index(f"ix_{table}_project_id", table_name=table)
        op.execute(f"ALTER TABLE {table} DROP COLUMN project_id")
    op.drop_table("quotas")
    op.drop_table("project_members")
    op.drop_table("projects")
