"""What a container runtime said of each container, once a collection."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from userdb.models.base import Base, partitioned
from userdb.types import Float64, UtcDateTime


class ContainerSample(Base):
    """One container at one collection, filed in the last minute of the collection's window.

    What the runtime did not tell is null. Counters are as the runtime counts them, from the
    container's start; ``cpu_percent`` and ``restarts_delta`` are since the previous sample.
    """

    __tablename__ = "container_sample"
    __table_args__ = (Index(None, "series_id", "minute"), partitioned("RANGE (minute)"))

    minute: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    observed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    container_id: Mapped[str] = mapped_column(String(128))
    #: created, waiting, running, paused, restarting, removing, exited, dead; absent where a
    #: manifest declares a container that isn't there
    state: Mapped[str] = mapped_column(String(32))
    #: why it waits or ended, in the runtime's word: CrashLoopBackOff, OOMKilled
    reason: Mapped[str | None] = mapped_column(String(128))
    #: healthy, unhealthy, starting; null without a health check
    health: Mapped[str | None] = mapped_column(String(32))
    failing_streak: Mapped[int | None] = mapped_column(Integer)
    exit_code: Mapped[int | None] = mapped_column(Integer)
    oom_killed: Mapped[bool | None] = mapped_column(Boolean)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    restarts: Mapped[int] = mapped_column(Integer)
    restarts_delta: Mapped[int | None] = mapped_column(Integer)
    #: times that it ended unasked, and for want of memory, since the previous collection
    exits: Mapped[int | None] = mapped_column(Integer)
    oom_kills: Mapped[int | None] = mapped_column(Integer)
    running: Mapped[int] = mapped_column(Integer)
    #: whether it should run and does not
    down: Mapped[int | None] = mapped_column(Integer)
    #: against the host's manifests; null where there are none
    undeclared: Mapped[int | None] = mapped_column(Integer)
    wrong_image: Mapped[int | None] = mapped_column(Integer)
    wrong_limit: Mapped[int | None] = mapped_column(Integer)
    unhealthy: Mapped[int | None] = mapped_column(Integer)
    cpu_percent: Mapped[float | None] = mapped_column(Float64)
    #: cores that it may use, and ``cpu_percent`` as a share of them
    cpu_limit_cores: Mapped[float | None] = mapped_column(Float64)
    cpu_limit_percent: Mapped[float | None] = mapped_column(Float64)
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    memory_limit_bytes: Mapped[int | None] = mapped_column(BigInteger)
    memory_percent: Mapped[float | None] = mapped_column(Float64)
    pids: Mapped[int | None] = mapped_column(Integer)
    network_rx_bytes: Mapped[int | None] = mapped_column(BigInteger)
    network_tx_bytes: Mapped[int | None] = mapped_column(BigInteger)
    block_read_bytes: Mapped[int | None] = mapped_column(BigInteger)
    block_write_bytes: Mapped[int | None] = mapped_column(BigInteger)
    throttled_periods: Mapped[int | None] = mapped_column(BigInteger)
    throttled_ns: Mapped[int | None] = mapped_column(BigInteger)
    #: raw counters that the next sample's CPU share is computed from, nanoseconds
    cpu_total_ns: Mapped[int | None] = mapped_column(BigInteger)
    cpu_system_ns: Mapped[int | None] = mapped_column(BigInteger)
    online_cpus: Mapped[int | None] = mapped_column(Integer)
