"""An index for the alerts of one policy and series, which routing asks for."""

from __future__ import annotations

from alembic import op

from userdb.migrations.steps import create_indexes

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_indexes("alert", {"ix_alert_policy_series_id": ["policy", "series_id"]})


def downgrade() -> None:
    op.drop_index("ix_alert_policy_series_id", "alert")
