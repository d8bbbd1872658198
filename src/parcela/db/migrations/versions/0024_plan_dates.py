"""Dates of maintenance plans follow from their records; intervals in weeks, months and years.

Revision: 0024
After: 0020
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

from parcela.models.base import UtcDateTime

revision: str = "0024"
down_revision: str | None = "0020"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NEW = ("resumed_on", "called_off", "given_due_at", "given_due_on", "interval_unit")
PLANS = sa.table(
    "maintenance_plans",
    sa.column("id", NUMBER),
    sa.column("next_due_on", sa.Date()),
    sa.column("interval_days", sa.Integer()),
    sa.column("interval_unit", sa.String()),
    sa.column("last_done_on", sa.Date()),
    sa.column("active", sa.Boolean()),
    sa.column("created_at", UtcDateTime()),
    sa.column("updated_at", UtcDateTime()),
    sa.column("given_due_on", sa.Date()),
    sa.column("given_due_at", UtcDateTime()),
    sa.column("called_off", sa.Boolean()),
)
MACHINES = sa.table(
    "machines",
    sa.column("registered_on", sa.Date()),
    sa.column("registered_on_given", sa.Boolean()),
    sa.column("created_at", UtcDateTime()),
)


def upgrade() -> None:
    """Plans are counted in days until somebody says otherwise; what is due stays due on the day it was."""
    # Plain ADD and DROP COLUMN: no database writes the table anew for these.
    plans = "maintenance_plans"
    op.add_column(plans, sa.Column("interval_unit", sa.String(8), nullable=False, server_default="days"))
    op.add_column(plans, sa.Column("given_due_on", sa.Date(), nullable=False, server_default="1970-01-01"))
    op.add_column(plans, sa.Column("given_due_at", UtcDateTime(), nullable=True))
    op.add_column(plans, sa.Column("called_off", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column(plans, sa.Column("resumed_on", sa.Date(), nullable=True))
    op.add_column("machines", sa.Column("registered_on_given", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_maintenance_records_plan_id", "maintenance_records", ["plan_id"])
    given = MACHINES.c.registered_on != sa.func.date(MACHINES.c.created_at)
    connection = op.get_bind()
    connection.execute(sa.update(MACHINES).where(given).values(registered_on_given=sa.true()))
    key = PLANS.c.id == sa.bindparam("plan_id")
    values: dict[str, Any] = {name: sa.bindparam(name) for name in ("given_due_on", "given_due_at", "called_off")}
    if found := [_given(row) for row in connection.execute(sa.select(PLANS)).mappings()]:
        connection.execute(sa.update(PLANS).where(key).values(values), found)


def _given(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The due date that a person gave, as far as it is still known."""
    done_on, interval = row["last_done_on"], row["interval_days"]
    facts = {"plan_id": row["id"], "given_due_on": row["next_due_on"], "given_due_at": None, "called_off": False}
    if done_on is None:
        return facts | {"called_off": not row["active"]}
    if interval is None:
        return facts | {"given_due_at": row["updated_at"] if row["active"] else None}
    facts["called_off"] = not row["active"]
    if row["next_due_on"] != done_on + timedelta(days=interval):
        return facts | {"given_due_at": row["updated_at"]}  # somebody moved it after the work
    # The first due date is forgotten; it counts only when all records of the plan are gone.
    first: date = min(done_on, row["created_at"].date())
    return facts | {"given_due_on": first}


def downgrade() -> None:
    """The next due date of each plan stays; intervals that are not in days become the nearest number of days."""
    per_unit = {"weeks": 7, "months": 30, "years": 365}
    connection = op.get_bind()
    for unit, days in per_unit.items():
        statement = sa.update(PLANS).where(PLANS.c.interval_unit == unit)
        connection.execute(statement.values(interval_days=PLANS.c.interval_days * days))
    op.drop_index("ix_maintenance_records_plan_id", "maintenance_records")
    op.drop_column("machines", "registered_on_given")
    for name in NEW:
        op.drop_column("maintenance_plans", name)
