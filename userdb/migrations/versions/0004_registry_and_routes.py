"""Services, their instances, the route table, and the audit of their changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from userdb.migrations.steps import create_table
from userdb.types import BigId, Float64, Json, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "service",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("floor", Float64, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("protected_at", UtcDateTime, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_service"),
    )
    create_table(
        "service_instance",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("service", sa.String(length=128), nullable=False),
        sa.Column("instance_id", sa.String(length=260), nullable=False),
        sa.Column("address", sa.String(length=253), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("container", sa.String(length=255), nullable=True),
        sa.Column("details", Json, nullable=True),
        sa.Column("ttl_s", sa.Integer(), nullable=False),
        sa.Column("deregister_after_s", sa.Integer(), nullable=False),
        sa.Column("health_check", Json, nullable=True),
        sa.Column("registered_at", UtcDateTime, nullable=False),
        sa.Column("registered_by", sa.String(length=255), nullable=False),
        sa.Column("renewed_at", UtcDateTime, nullable=False),
        sa.Column("failed_checks", sa.Integer(), nullable=False),
        sa.Column("checked_at", UtcDateTime, nullable=True),
        sa.Column("check_message", sa.String(length=255), nullable=True),
        sa.Column("unhealthy_at", UtcDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_service_instance"),
        sa.UniqueConstraint(
            "service", "instance_id", name="uq_service_instance_service_instance_id"
        ),
        sa.UniqueConstraint("address", "port", name="uq_service_instance_address_port"),
        indexes={"ix_service_instance_container": ["container"]},
    )
    create_table(
        "route",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("match_key", sa.String(length=64), nullable=False),
        sa.Column("hosts", Json, nullable=False),
        sa.Column("path_type", sa.String(length=8), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("methods", Json, nullable=False),
        sa.Column("headers", Json, nullable=False),
        sa.Column("service", sa.String(length=128), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("strip_prefix", sa.Boolean(), nullable=False),
        sa.Column("timeout_ms", sa.Integer(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("updated_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_route"),
        sa.UniqueConstraint("name", name="uq_route_name"),
        sa.UniqueConstraint("match_key", name="uq_route_match_key"),
        indexes={"ix_route_service": ["service"]},
    )
    create_table(
        "audit",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("principal", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=160), nullable=False),
        sa.Column("before", Json, nullable=True),
        sa.Column("after", Json, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        indexes={"ix_audit_subject_id": ["subject", "id"]},
    )


def downgrade() -> None:
    for table in ("audit", "route", "service_instance", "service"):
        op.drop_table(table)
