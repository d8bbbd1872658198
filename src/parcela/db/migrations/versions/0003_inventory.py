"""Machines of the lab, their maintenance, and the role of technicians.

Revision: 0003
After: 0002
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from parcela.models.base import UtcDateTime

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ROLE = "technician"
RIGHTS = ("machine:read", "machine:write", "maintenance:read", "maintenance:write")
TABLES = (
    "open_maintenance",
    "maintenance_plans",
    "machine_status_changes",
    "host_machines",
    "attachments",
    "machines",
    "maintenance_records",
    "maintenance_changes",
    "activity_log",
)
"""Those that refer to others first."""


def upgrade() -> None:
    op.create_table(
        "activity_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("machine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("record_id", sa.String(length=36), nullable=True),
        sa.Column("actor_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity_log")),
        sa.UniqueConstraint("uuid", name=op.f("uq_activity_log_uuid")),
    )
    with op.batch_alter_table("activity_log", schema=None) as batch_op:
        batch_op.create_index("ix_activity_log_at", ["at"], unique=False)
        batch_op.create_index("ix_activity_log_machine_id", ["machine_id"], unique=False)

    op.create_table(
        "maintenance_changes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("machine_ids", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maintenance_changes")),
    )
    op.create_table(
        "maintenance_records",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("machine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("performed_on", sa.Date(), nullable=False),
        sa.Column("company", sa.String(length=200), nullable=False),
        sa.Column("technician", sa.String(length=200), nullable=False),
        sa.Column("notes", sa.String(length=4000), nullable=False),
        sa.Column("cost_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("plan_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("author_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("author", sa.String(length=64), nullable=False),
        sa.Column("begun_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("kind IN ('preventive', 'corrective')", name=op.f("ck_maintenance_records_kind_known")),
        sa.CheckConstraint("state IN ('open', 'done')", name=op.f("ck_maintenance_records_state_known")),
        sa.CheckConstraint("cost_minor >= 0", name=op.f("ck_maintenance_records_cost_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maintenance_records")),
    )
    with op.batch_alter_table("maintenance_records", schema=None) as batch_op:
        batch_op.create_index(
            "ix_maintenance_records_machine_id_performed_on", ["machine_id", "performed_on"], unique=False
        )
        batch_op.create_index("ix_maintenance_records_performed_on", ["performed_on"], unique=False)

    op.create_table(
        "machines",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("area", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("serial", sa.String(length=100), nullable=False),
        sa.Column("notes", sa.String(length=4000), nullable=False),
        sa.Column("registered_on", sa.Date(), nullable=False),
        sa.Column("responsible_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("custom_fields", sa.JSON(), nullable=False),
        sa.Column("photo_file", sa.String(length=36), nullable=True),
        sa.Column("photo_type", sa.String(length=32), nullable=True),
        sa.Column("photo_sha256", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("archived_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "status IN ('operational', 'maintenance', 'damaged', 'retired')", name=op.f("ck_machines_status_known")
        ),
        sa.CheckConstraint("code = upper(code)", name=op.f("ck_machines_code_upper")),
        sa.ForeignKeyConstraint(
            ["responsible_id"], ["users.id"], name=op.f("fk_machines_responsible_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machines")),
        sa.UniqueConstraint("code", name=op.f("uq_machines_code")),
    )
    with op.batch_alter_table("machines", schema=None) as batch_op:
        batch_op.create_index("ix_machines_area", ["area"], unique=False)
        batch_op.create_index("ix_machines_responsible_id", ["responsible_id"], unique=False)
        batch_op.create_index("ix_machines_status", ["status"], unique=False)
        batch_op.create_index("ix_machines_type", ["type"], unique=False)

    op.create_table(
        "attachments",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("machine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("file", sa.String(length=36), nullable=False),
        sa.Column("created_by", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_attachments_created_by"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["machine_id"], ["machines.id"], name=op.f("fk_attachments_machine_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
        sa.UniqueConstraint("file", name=op.f("uq_attachments_file")),
    )
    with op.batch_alter_table("attachments", schema=None) as batch_op:
        batch_op.create_index("ix_attachments_machine_id", ["machine_id"], unique=False)
        batch_op.create_index("ix_attachments_record_id", ["record_id"], unique=False)

    op.create_table(
        "host_machines",
        sa.Column("host_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("machine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("drained_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_host_machines_host_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["machine_id"], ["machines.id"], name=op.f("fk_host_machines_machine_id")),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_host_machines")),
        sa.UniqueConstraint("machine_id", name=op.f("uq_host_machines_machine_id")),
    )
    op.create_table(
        "machine_status_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("machine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("status_before", sa.String(length=32), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=True),
        sa.Column("actor_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('operational', 'maintenance', 'damaged', 'retired')",
            name=op.f("ck_machine_status_changes_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["users.id"], name=op.f("fk_machine_status_changes_actor_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machines.id"], name=op.f("fk_machine_status_changes_machine_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine_status_changes")),
    )
    with op.batch_alter_table("machine_status_changes", schema=None) as batch_op:
        batch_op.create_index("ix_machine_status_changes_machine_id", ["machine_id"], unique=False)

    op.create_table(
        "maintenance_plans",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("machine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("next_due_on", sa.Date(), nullable=False),
        sa.Column("interval_days", sa.Integer(), nullable=True),
        sa.Column("remind_days_before", sa.Integer(), nullable=False),
        sa.Column("drain_days_before", sa.Integer(), nullable=True),
        sa.Column("remind_on", sa.Date(), nullable=False),
        sa.Column("drain_on", sa.Date(), nullable=True),
        sa.Column("company", sa.String(length=200), nullable=False),
        sa.Column("technician", sa.String(length=200), nullable=False),
        sa.Column("notes", sa.String(length=4000), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("last_done_on", sa.Date(), nullable=True),
        sa.Column("reminded_for", sa.Date(), nullable=True),
        sa.Column("overdue_for", sa.Date(), nullable=True),
        sa.Column("created_by", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("kind IN ('preventive', 'corrective')", name=op.f("ck_maintenance_plans_kind_known")),
        sa.CheckConstraint("drain_days_before BETWEEN 0 AND 3650", name=op.f("ck_maintenance_plans_drain_range")),
        sa.CheckConstraint("interval_days BETWEEN 1 AND 36500", name=op.f("ck_maintenance_plans_interval_range")),
        sa.CheckConstraint("remind_days_before BETWEEN 0 AND 3650", name=op.f("ck_maintenance_plans_remind_range")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_maintenance_plans_created_by"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["machine_id"], ["machines.id"], name=op.f("fk_maintenance_plans_machine_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maintenance_plans")),
    )
    with op.batch_alter_table("maintenance_plans", schema=None) as batch_op:
        batch_op.create_index("ix_maintenance_plans_active_next_due_on", ["active", "next_due_on"], unique=False)
        batch_op.create_index("ix_maintenance_plans_machine_id", ["machine_id"], unique=False)

    op.create_table(
        "open_maintenance",
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("machine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("plan_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("moved_machine", sa.Boolean(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("begun_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("kind IN ('preventive', 'corrective')", name=op.f("ck_open_maintenance_kind_known")),
        sa.ForeignKeyConstraint(["machine_id"], ["machines.id"], name=op.f("fk_open_maintenance_machine_id")),
        sa.ForeignKeyConstraint(
            ["plan_id"], ["maintenance_plans.id"], name=op.f("fk_open_maintenance_plan_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_open_maintenance")),
    )
    with op.batch_alter_table("open_maintenance", schema=None) as batch_op:
        batch_op.create_index("ix_open_maintenance_machine_id", ["machine_id"], unique=False)
    _add_technicians()


def _add_technicians() -> None:
    """A custom role, so that it can be changed and removed; one of this name that is there already is left alone."""
    connection = op.get_bind()
    roles = sa.table(
        "roles",
        sa.column("id", sa.BigInteger()),
        sa.column("name", sa.String(64)),
        sa.column("description", sa.String(255)),
        sa.column("is_builtin", sa.Boolean()),
        sa.column("created_at", UtcDateTime()),
    )
    rights = sa.table("role_permissions", sa.column("role_id", sa.BigInteger()), sa.column("permission", sa.String(64)))
    role_id = sa.select(roles.c.id).where(roles.c.name == ROLE)
    if connection.execute(role_id).scalar() is not None:
        return
    description = "Keeps the inventory of machines and their maintenance."
    values = {"name": ROLE, "description": description, "is_builtin": False, "created_at": datetime.now(UTC)}
    connection.execute(roles.insert().values(**values))
    for right in RIGHTS:
        connection.execute(rights.insert().values(role_id=role_id.scalar_subquery(), permission=right))


def downgrade() -> None:
    """Drop the tables with all that is in them. The role stays, because users may hold it; its rights mean nothing."""
    for table in TABLES:
        op.drop_table(table)
