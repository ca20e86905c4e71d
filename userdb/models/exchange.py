"""What nodes exchange: which minutes changed, and how far each node has been read."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from userdb.models.base import TABLE_OPTIONS, Base
from userdb.types import BigId, UtcDateTime


class MinuteChange(Base):
    """Minutes of a family whose facts or coverage changed, in the order of the changes.

    Written in the transaction that changes them, so that whoever reads on from an id misses none,
    late data included. Goes with the minutes themselves when they are purged.
    """

    __tablename__ = "minute_change"
    __table_args__ = (Index(None, "family", "last_minute"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    family: Mapped[str] = mapped_column(String(16))
    first_minute: Mapped[int] = mapped_column(Integer)
    last_minute: Mapped[int] = mapped_column(Integer)
    #: random: tells a cursor's change from one with its id in another database
    token: Mapped[str] = mapped_column(String(16))


class PullCursor(Base):
    """How far one kind of data of a node has been read. Written with the rows that were read."""

    __tablename__ = "pull_cursor"
    __table_args__ = (TABLE_OPTIONS,)

    node: Mapped[str] = mapped_column(String(128), primary_key=True)
    #: events, requests or containers
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    #: as the node gave it; null: from the beginning
    cursor: Mapped[str | None] = mapped_column(String(512))
    #: the first minute that the node was ever asked for; what changed since the cursor is read of
    #: all minutes from it on
    since_minute: Mapped[int] = mapped_column(Integer)
    pulled_at: Mapped[datetime] = mapped_column(UtcDateTime)
