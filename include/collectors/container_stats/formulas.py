"""Docker's arithmetic on what an engine measures: pure functions, as `docker stats` computes.

They take parts of the engine's JSON answers as they come, from cgroup v1, v2 and Podman.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from include.collectors.container_stats.runtime import CpuCounters
from include.collectors.container_stats.values import count, small_count


def cpu_counters(cpu_stats: Mapping[str, Any]) -> CpuCounters | None:
    """The counters of ``cpu_stats`` or ``precpu_stats``; None where they are not filled in.

    A stopped container's, and the ones before the first sample, have no machine's time.
    """
    usage = cpu_stats.get("cpu_usage") or {}
    total, system = count(usage.get("total_usage")), count(cpu_stats.get("system_cpu_usage"))
    cpus = small_count(cpu_stats.get("online_cpus")) or len(usage.get("percpu_usage") or ())
    if total is None or not system:
        return None
    return CpuCounters(total, system, cpus)


def by_the_clock(counters: CpuCounters, read_at: datetime | None) -> CpuCounters | None:
    """The counters against the time that passes, as one CPU's; None without a time that fits."""
    if read_at is None:
        return None
    passed = (read_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    clock_ns = count(1000 * passed)
    return None if clock_ns is None else CpuCounters(counters.total_ns, clock_ns, 1)


def cpu_percent(before: CpuCounters | None, after: CpuCounters | None) -> float | None:
    """CPU time between two moments as a share of one CPU's, in percent: 200 is two CPUs.

    None without both, and where a counter went back: the container or the machine was restarted
    in between, and what it had used before that is lost.

    Source: ``calculateCPUPercentUnix`` of Docker's command line.
    """
    if before is None or after is None or not after.online_cpus:
        return None
    total, system = after.total_ns - before.total_ns, after.system_ns - before.system_ns
    if total < 0 or system <= 0:
        return None
    return total / system * after.online_cpus * 100.0


def cpu_limit_cores(host_config: Mapping[str, Any]) -> float | None:
    """The cores that a container may use; None without a limit."""
    nano, quota = count(host_config.get("NanoCpus")), count(host_config.get("CpuQuota"))
    if nano:
        return nano / 1e9
    return quota / (count(host_config.get("CpuPeriod")) or 100_000) if quota else None


def share_of_limit(percent: float | None, limit_cores: float | None) -> float | None:
    """CPU use (100 is one core) in percent of the cores that may be used; None without a limit."""
    return None if percent is None or not limit_cores else percent / limit_cores


def memory_used(memory_stats: Mapping[str, Any]) -> int | None:
    """Bytes in use without the page cache that can be dropped; None where not told.

    Source: ``calculateMemUsageUnixNoCache`` of Docker's command line.
    """
    usage = count(memory_stats.get("usage"))
    if usage is None:
        return None
    stats = memory_stats.get("stats") or {}
    # cgroup v1 has this key even where it is 0; only v2 lacks it
    inactive = count(stats.get("total_inactive_file"))
    if inactive is None or inactive >= usage:
        inactive = count(stats.get("inactive_file"))
    return usage - inactive if inactive is not None and inactive < usage else usage


def memory_percent(used: int | None, limit: int | None) -> float | None:
    """Memory in use, of the limit, in percent; 0 where the limit is 0, as Docker says it."""
    if used is None or limit is None:
        return None
    return used / limit * 100.0 if limit else 0.0


def network_total(networks: Mapping[str, Mapping[str, Any]] | None, key: str) -> int | None:
    """The sum of ``key`` over interfaces; None for a container without a network of its own."""
    if not networks:
        return None
    return count(sum(count(device.get(key)) or 0 for device in networks.values()))


def block_total(entries: Iterable[Mapping[str, Any]] | None, operation: str) -> int | None:
    """The sum over devices of ``operation`` (read or write); None where not told.

    The whole word is matched: Podman has ``rios`` and ``wios`` in the same list, which a match of
    the first letter would add to the bytes.
    """
    if entries is None:
        return None
    return count(
        sum(
            count(entry.get("value")) or 0
            for entry in entries
            if str(entry.get("op")).lower() == operation
        )
    )


def restarts_delta(
    restarts: int,
    previous: int | None,
    *,
    created_at: datetime | None,
    since: datetime,
) -> int | None:
    """Restarts by the runtime since the previous sample of the same container.

    ``previous`` is that sample's count. Without one, a container that was created after ``since``
    (the collection before this) has had all of its restarts since then; of an older one nobody
    can tell, and that is None. A count that went back was reset, by hand or by an update.
    """
    if previous is not None:
        return restarts - previous if restarts >= previous else None
    return restarts if created_at is not None and created_at > since else None
