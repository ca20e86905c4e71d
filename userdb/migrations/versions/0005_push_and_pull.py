"""Which minutes changed, in order, for who pulls them; and how far nodes have been pulled."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

from userdb.migrations.steps import create_table
from userdb.types import BigId, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = {"request": "request_minute", "container": "container_sample"}


def upgrade() -> None:
    create_table(
        "minute_change",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("first_minute", sa.Integer(), nullable=False),
        sa.Column("last_minute", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_minute_change"),
    )
    create_table(
        "pull_cursor",
        sa.Column("node", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("cursor", sa.String(length=512), nullable=True),
        sa.Column("since_minute", sa.Integer(), nullable=False),
        sa.Column("pulled_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("node", "kind", name="pk_pull_cursor"),
    )
    # what was collected before is one change of all its minutes; said twice it does no harm
    for family, table in _TABLES.items():
        op.execute(
            f"INSERT INTO minute_change (family, first_minute, last_minute, token) "
            f"SELECT '{family}', MIN(minute), MAX(minute), '{uuid.uuid4().hex[:16]}' FROM {table} "
            f"HAVING MIN(minute) IS NOT NULL"
        )


def downgrade() -> None:
    op.drop_table("pull_cursor")
    op.drop_table("minute_change")
