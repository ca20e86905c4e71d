"""What Alembic runs: the migrations, on the connection that ``userdb.migrate`` gives.

Called with none (``alembic -c …``), it says which command to use instead.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from userdb.errors import SchemaError
from userdb.migrate import VERSION_TABLE
from userdb.models import Base


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        compare_server_default=False,
    )
    with context.begin_transaction():
        context.run_migrations()


_connection = context.config.attributes.get("connection")
if _connection is None:
    raise SchemaError("userdb's migrations need its locks: run them by `monitoring db upgrade`")
_run(_connection)
