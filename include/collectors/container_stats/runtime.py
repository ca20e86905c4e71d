"""What a container runtime is to this collector, and what it says of containers.

A new runtime is one module with a class that follows ``Runtime``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from userdb.ledger import Rejected


@dataclass(frozen=True)
class CpuCounters:
    """CPU time since the container's start, and of the whole machine, at one moment.

    ``total_ns`` is the container's, ``system_ns`` that of all of the machine's CPUs together.
    """

    total_ns: int
    system_ns: int
    online_cpus: int


@dataclass(frozen=True)
class Usage:
    """Resources of a running container; None for what the runtime doesn't tell.

    ``cpu`` are the counters now, ``cpu_before`` those of a second or so ago, where the runtime
    takes two samples. Network and block I/O are sums over devices since the container's start.
    """

    cpu: CpuCounters | None = None
    cpu_before: CpuCounters | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    memory_percent: float | None = None
    pids: int | None = None
    network_rx_bytes: int | None = None
    network_tx_bytes: int | None = None
    block_read_bytes: int | None = None
    block_write_bytes: int | None = None
    throttled_periods: int | None = None
    throttled_ns: int | None = None


@dataclass(frozen=True)
class Container:
    """A container as its runtime describes it; ``usage`` is None while it has no processes.

    ``state`` is created, running, paused, restarting, removing, exited or dead; ``health`` is
    healthy, unhealthy, starting, or None without a health check. ``exit_code`` is None before the
    first exit. ``read_after_s`` is when this was read, in seconds after the runtime was asked.
    """

    container_id: str
    name: str
    image: str
    labels: Mapping[str, str]
    state: str
    restarts: int
    read_after_s: float
    health: str | None = None
    failing_streak: int | None = None
    exit_code: int | None = None
    oom_killed: bool | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class Listing:
    """All containers of a runtime, and those that it could not tell about."""

    containers: tuple[Container, ...]
    rejected: tuple[Rejected, ...] = ()


class Runtime(Protocol):
    """Something that runs containers and can be asked about them."""

    def containers(self) -> Listing:
        """Ask about every container, running or not, within the runtime's time limit.

        A container that goes away meanwhile is a rejected row.

        Raises:
            CollectionError: the runtime can't be reached or doesn't answer; names its address
                and what to do.
        """
        ...
