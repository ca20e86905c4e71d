"""The audit by time: what was in force at a time is looked up by what has changed since."""

from __future__ import annotations

from alembic import op

from userdb.migrations.steps import create_indexes

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_indexes("audit", {"ix_audit_at": ["at"]})


def downgrade() -> None:
    op.drop_index("ix_audit_at", table_name="audit")
