"""When a compressed file ends, remembered: what is compressed can't be searched.

A compressed neighbour of the live log, or of a backfilled window's, is read to its end once, and
windows after that end don't decompress it again. The end is noted in source_file, in a row of its
own.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection, insert, select

from include.collectors.request_logs.files import LogFile
from include.collectors.request_logs.formats import format_named
from include.collectors.request_logs.identity import PATH_LENGTH
from include.collectors.request_logs.settings import LogSource
from include.collectors.request_logs.statements import times_sql
from userdb.models import SourceFile
from userdb.store import Store

#: Last bytes as they lie on disk: compressed data ends with a checksum of all of it.
_TAIL = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class FileEnd:
    """What is known of a compressed file's end.

    Args:
        allowance: how far its lines may lie out of order, in microseconds.
    """

    def __init__(self, store: Store, source: LogSource, file: LogFile, allowance: int) -> None:
        self._store = store
        self._source = source.name
        self._file = file
        self._allowance = allowance
        self._mark = _mark(file, source, allowance)
        with store.read() as connection:
            self._end = connection.scalar(
                select(SourceFile.last_seen).where(
                    SourceFile.source == source.name,
                    SourceFile.prefix_length == 0,
                    SourceFile.prefix_hash == self._mark,
                )
            )

    def lies_before(self, low_us: int) -> bool:
        """Whether reading the file from ``low_us`` on is known to find nothing."""
        return self._end is not None and self._end <= _EPOCH + low_us * _US

    def note(self, dropped: int | None, latest: int | None, now: datetime) -> None:
        """Note where a file ends that was read to its end, unless it is known.

        Args:
            dropped: the latest time at which a block ends that was dropped as too early. Who reads
                from ``allowance`` after it on drops the same blocks.
            latest: of all lines of the other blocks.
        """
        ends = [] if latest is None else [latest]
        ends += [] if dropped is None else [dropped + self._allowance]
        if self._end is None and ends:
            self._store.write(partial(self._insert, end=max(ends) + 1, now=now))

    def _insert(self, connection: Connection, end: int, now: datetime) -> None:
        connection.execute(
            insert(SourceFile).values(
                source=self._source,
                prefix_length=0,
                prefix_hash=self._mark,
                path=str(self._file.path)[:PATH_LENGTH],
                size=self._file.size,
                first_seen=now,
                last_seen=_EPOCH + end * _US,
            )
        )


def _mark(file: LogFile, source: LogSource, allowance: int) -> str:
    """64 hexadecimal digits of all that the end depends on: the file's bytes, how times are read
    from them, and how far these may lie out of order."""
    file.handle.seek(max(file.size - _TAIL, 0))
    how = times_sql(format_named(source.format, source.name, source.options), "max(at_us)")
    known = (
        *(file.identity, file.handle.read(_TAIL), file.size, file.modified),
        *(how, source.timezone, allowance),
    )
    return hashlib.sha256(repr(known).encode()).hexdigest()
