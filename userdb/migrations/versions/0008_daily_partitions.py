"""Daily partitions of the raw and minute tables, on servers; indexes of queries that had none.

Copies those tables, a statement each, while nobody can write to them.
"""

from __future__ import annotations

from alembic import op

from userdb.migrations.steps import create_indexes
from userdb.partitions import PARTITIONED, partition, read_partitions

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_INDEXES = {
    "minute_change": {"ix_minute_change_family_last_minute": ["family", "last_minute"]},
    "operator_action": {"ix_operator_action_policy_action_at": ["policy", "action", "at"]},
}


def upgrade() -> None:
    for table, indexes in _INDEXES.items():
        create_indexes(table, indexes)
    for table in PARTITIONED:
        partition(op.get_bind(), table)


def downgrade() -> None:
    for table in PARTITIONED:
        if read_partitions(op.get_bind(), table):
            op.execute(f"ALTER TABLE {table} REMOVE PARTITIONING")
    for table, indexes in _INDEXES.items():
        for name in indexes:
            op.drop_index(name, table)
