"""What a container runtime is to this collector, and what it says of containers.

A new runtime is one module with a class that follows ``Runtime``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

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
    takes two samples; ``cpu_percent`` is the share (100 is one core) that a runtime which keeps
    its counters to itself measured last. Network and block I/O are sums over devices since the
    container's start.
    """

    cpu: CpuCounters | None = None
    cpu_before: CpuCounters | None = None
    cpu_percent: float | None = None
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
class PodMember:
    """Which container of which pod it is."""

    namespace: str
    pod: str
    container: str


@dataclass(frozen=True)
class Declaration:
    """What manifests say of a container, 0 or 1; None where nothing is known."""

    undeclared: int | None = None
    wrong_image: int | None = None
    wrong_limit: int | None = None


@dataclass(frozen=True)
class Container:
    """A container as its runtime describes it; ``usage`` is None while it has no processes.

    ``container_id`` stays the same over restarts. ``state`` is created, waiting, running, paused,
    restarting, removing, exited or dead, and ``reason`` is why, in the runtime's word; ``health``
    is healthy, unhealthy, starting, or None without a health check. ``exit_code`` is None before
    the first exit. ``read_after_s`` is when this was read, in seconds after the runtime was asked.

    ``must_run`` is false for one that may end well, such as a job's. ``cpu_limit_cores`` is None
    without a limit. ``auxiliary`` ones belong to the runtime itself: they hold a pod's network.
    ``member`` is told by runtimes that know of pods. ``declared`` is what its manifest says of it,
    which no runtime knows.
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
    reason: str | None = None
    must_run: bool = True
    cpu_limit_cores: float | None = None
    memory_limit_bytes: int | None = None
    auxiliary: bool = False
    member: PodMember | None = None
    declared: Declaration = Declaration()


#: What is kept of all that happens to containers.
EventAction = Literal["die", "oom", "health_status", "restart"]


@dataclass(frozen=True)
class ContainerEvent:
    """Something that happened to a container, which may be gone by now.

    ``asked`` is whether somebody asked for it, where a runtime tells: an end after `docker stop`.
    ``time_ns`` is the runtime's own time since 1970 in nanoseconds, as it tells events apart.
    """

    container_id: str
    container: str
    image: str
    labels: Mapping[str, str]
    action: EventAction
    time_ns: int
    occurred_at: datetime
    exit_code: int | None = None
    health: str | None = None
    asked: bool = False


@dataclass(frozen=True)
class Period:
    """The time (since, until] whose events are asked for."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class Listing:
    """All containers of a runtime, and those that it could not tell about.

    ``events`` is what happened in the period that was asked for, oldest first; None where the
    runtime did not tell, and ``notes`` says why.
    """

    containers: tuple[Container, ...]
    rejected: tuple[Rejected, ...] = ()
    events: tuple[ContainerEvent, ...] | None = None
    notes: tuple[str, ...] = ()


class Runtime(Protocol):
    """Something that runs containers and can be asked about them."""

    def containers(self, period: Period | None = None) -> Listing:
        """Ask about every container, running or not, within the runtime's time limit.

        A container that goes away meanwhile is a rejected row. With ``period``, what happened in
        it is told too; events that can't be told are a note, and no failure.

        Raises:
            CollectionError: the runtime can't be reached or doesn't answer; names its address
                and what to do.
        """
        ...
