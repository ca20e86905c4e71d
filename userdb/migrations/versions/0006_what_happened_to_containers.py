"""What happened to containers between samples, and what manifests say of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from userdb.migrations.steps import add_columns
from userdb.types import Float64

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COUNTS = ("exits", "oom_kills", "down", "undeclared", "wrong_image", "wrong_limit")
_NUMBERS = ("cpu_limit_cores", "cpu_limit_percent")


def upgrade() -> None:
    add_columns(
        "container_sample",
        sa.Column("reason", sa.String(length=128), nullable=True),
        *(sa.Column(name, sa.Integer(), nullable=True) for name in _COUNTS),
        *(sa.Column(name, Float64, nullable=True) for name in _NUMBERS),
    )


def downgrade() -> None:
    for name in ("reason", *_COUNTS, *_NUMBERS):
        op.drop_column("container_sample", name)
