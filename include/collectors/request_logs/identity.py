"""Which stored source file a file on disk is, whatever a rotation has named it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from include.collectors.request_logs.files import LogFile
from userdb.models import SourceFile
from userdb.store import Store

#: As long as its column.
PATH_LENGTH = 1024


@dataclass(frozen=True)
class KnownFile:
    """A stored source file. ``size``: decompressed bytes up to which it was ever read."""

    id: int
    prefix_length: int
    size: int


def identify(store: Store, source: str, files: Sequence[LogFile], now: datetime) -> list[KnownFile]:
    """The stored source file of each of ``files``, in their order; unknown ones are stored.

    A file is the one with the longest stored prefix that it begins with. A prefix that a young
    file was stored with grows with the file.
    """

    def work(connection: Connection) -> list[KnownFile]:
        return [_identify(connection, source, file, now) for file in files]

    return store.write(work) if files else []


def _identify(connection: Connection, source: str, file: LogFile, now: datetime) -> KnownFile:
    head = file.identity
    lengths = connection.scalars(
        select(SourceFile.prefix_length)
        .where(SourceFile.source == source, SourceFile.prefix_length.between(1, len(head)))
        .distinct()
    ).all()
    marks = {length: _hash(head[:length]) for length in lengths}
    found = connection.execute(
        select(SourceFile.id, SourceFile.prefix_length, SourceFile.size)
        .where(SourceFile.source == source, SourceFile.prefix_hash.in_(marks.values()))
        .order_by(SourceFile.prefix_length.desc())
    ).first()
    if found is None:
        result = connection.execute(
            insert(SourceFile).values(
                source=source,
                prefix_length=len(head),
                prefix_hash=_hash(head),
                path=str(file.path)[:PATH_LENGTH],
                size=0,
                first_seen=now,
                last_seen=now,
            )
        )
        assert result.inserted_primary_key is not None  # an autoincrement key
        return KnownFile(result.inserted_primary_key[0], len(head), 0)
    if found.prefix_length < len(head):
        connection.execute(
            update(SourceFile)
            .where(SourceFile.id == found.id)
            .values(prefix_length=len(head), prefix_hash=_hash(head))
        )
    return KnownFile(found.id, len(head), found.size)


def note_read(
    connection: Connection, known: KnownFile, file: LogFile, size: int, now: datetime
) -> None:
    """Note that a file was read up to ``size``, and where it lies now."""
    connection.execute(
        update(SourceFile)
        .where(SourceFile.id == known.id)
        .values(
            size=max(size, known.size),
            path=str(file.path)[:PATH_LENGTH],
            last_seen=now,
        )
    )


def _hash(prefix: bytes) -> str:
    return hashlib.sha256(prefix).hexdigest()
