"""A row of ``container_sample`` from what a runtime said now and at the previous sample: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.collectors.container_stats.event_rows import Happened
from include.collectors.container_stats.formulas import (
    cpu_percent,
    restarts_delta,
    share_of_limit,
)
from include.collectors.container_stats.runtime import Container, CpuCounters, Usage

_NOTHING = Usage()
_UNTOLD = Happened()


@dataclass(frozen=True)
class Previous:
    """What the next sample needs of an earlier one of the same container."""

    started_at: datetime | None
    restarts: int
    cpu: CpuCounters | None


def sample_row(
    container: Container,
    previous: Previous | None,
    *,
    minute: int,
    series_id: int,
    observed_at: datetime,
    since: datetime,
    happened: Happened = _UNTOLD,
) -> dict[str, Any]:
    """The row's columns by name.

    ``since`` is the time of the collection before this one: see ``restarts_delta``.
    """
    usage = container.usage or _NOTHING
    before = usage.cpu_before
    if previous is not None:
        # counters begin anew at each start, and may have passed the old ones since
        same_run = previous.started_at == container.started_at
        before = previous.cpu if same_run and previous.cpu is not None else before
    cpu = usage.cpu
    share = usage.cpu_percent if cpu is None else cpu_percent(before, cpu)
    return {
        "minute": minute,
        "series_id": series_id,
        "observed_at": observed_at,
        "container_id": container.container_id,
        "state": container.state,
        "reason": container.reason,
        "health": container.health,
        "failing_streak": container.failing_streak,
        "exit_code": container.exit_code,
        "oom_killed": container.oom_killed,
        "started_at": container.started_at,
        "finished_at": container.finished_at,
        "restarts": container.restarts,
        "restarts_delta": restarts_delta(
            container.restarts,
            None if previous is None else previous.restarts,
            created_at=container.created_at,
            since=since,
        ),
        "undeclared": container.declared.undeclared,
        "wrong_image": container.declared.wrong_image,
        "wrong_limit": container.declared.wrong_limit,
        "exits": happened.exits,
        "oom_kills": happened.oom_kills,
        "running": int(container.state == "running"),
        "down": int(container.must_run and container.state != "running"),
        "unhealthy": None if container.health is None else int(container.health == "unhealthy"),
        "cpu_percent": share,
        "cpu_limit_cores": container.cpu_limit_cores,
        "cpu_limit_percent": share_of_limit(share, container.cpu_limit_cores),
        "memory_bytes": usage.memory_bytes,
        "memory_limit_bytes": usage.memory_limit_bytes,
        "memory_percent": usage.memory_percent,
        "pids": usage.pids,
        "network_rx_bytes": usage.network_rx_bytes,
        "network_tx_bytes": usage.network_tx_bytes,
        "block_read_bytes": usage.block_read_bytes,
        "block_write_bytes": usage.block_write_bytes,
        "throttled_periods": usage.throttled_periods,
        "throttled_ns": usage.throttled_ns,
        "cpu_total_ns": cpu.total_ns if cpu else None,
        "cpu_system_ns": cpu.system_ns if cpu else None,
        "online_cpus": cpu.online_cpus if cpu else None,
    }
