"""Daily partitions of the raw and minute tables, on servers.

Copies those tables, a statement each, while nobody can write to them.
"""

from __future__ import annotations

from alembic import op

from userdb.partitions import PARTITIONED, partition, read_partitions

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in PARTITIONED:
        partition(op.get_bind(), table)


def downgrade() -> None:
    for table in PARTITIONED:
        if read_partitions(op.get_bind(), table):
            op.execute(f"ALTER TABLE {table} REMOVE PARTITIONING")
