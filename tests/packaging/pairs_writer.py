"""A process that writes to userdb until it is ended: pairs of rows, each pair in a transaction."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

from sqlalchemy import Connection, insert

from userdb.models import MonitorEvent, Series
from userdb.store import open_store


def write_pair(connection: Connection) -> None:
    now, unique = datetime.now(UTC), uuid4().hex
    connection.execute(
        insert(MonitorEvent).values(
            event_id=unique,
            event_type="custom",
            source="backup",
            level="info",
            message="written while a backup is made",
            occurred_at=now,
            created_at=now,
        )
    )
    connection.execute(
        insert(Series).values(family="backup", fingerprint=unique[:16], labels={"n": unique})
    )


store = open_store(sys.argv[1])
for number in count():
    store.write(write_pair)
    if number == 0:
        print("writing", flush=True)
