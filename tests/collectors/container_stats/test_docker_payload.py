from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from include.collectors.container_stats.docker_payload import (
    parse_inspect,
    parse_stats,
)
from include.collectors.container_stats.formulas import cpu_percent
from include.collectors.container_stats.runtime import CpuCounters, Usage
from include.collectors.container_stats.values import parse_time
from tests.collectors.container_stats.payloads import NEVER, cgroup_v2, inspect_answer


def test_inspect_of_a_running_container() -> None:
    container = parse_inspect(inspect_answer(), 0.25)
    assert (container.container_id, container.name) == ("e9df76eef52845a8", "sim")
    assert (container.image, container.restarts) == ("sim:1.4", 2)
    assert container.labels == {"com.docker.compose.service": "sim-engine"}
    assert container.created_at == datetime(2026, 3, 1, 11, 0, 0, 123456, tzinfo=UTC)
    assert container.started_at == datetime(2026, 3, 1, 11, 0, 1, tzinfo=UTC)
    assert container.finished_at is None
    assert container.exit_code is None, "0 would be a success that has not happened"
    assert container.health is None
    assert container.read_after_s == 0.25


def test_inspect_of_one_that_ended() -> None:
    container = parse_inspect(
        inspect_answer(
            Status="exited", ExitCode=137, OOMKilled=True, FinishedAt="2026-03-01T11:30:00+02:00"
        ),
        0.0,
    )
    assert (container.state, container.exit_code, container.oom_killed) == ("exited", 137, True)
    assert container.finished_at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        ({"Status": "unhealthy", "FailingStreak": 3, "Log": []}, ("unhealthy", 3)),
        ({"Status": "starting", "FailingStreak": 0}, ("starting", 0)),
        ({"Status": "none", "FailingStreak": 0}, (None, None)),
        ({"Status": "", "FailingStreak": 0, "Log": None}, (None, None)),
        (None, (None, None)),
    ],
)
def test_health_is_none_without_a_check(
    health: dict[str, Any] | None, expected: tuple[str | None, int | None]
) -> None:
    container = parse_inspect(inspect_answer(Health=health), 0.0)
    assert (container.health, container.failing_streak) == expected


@pytest.mark.parametrize("answer", [{}, {"Id": "a"}, {"Id": "a", "Name": "b", "State": None}])
def test_an_answer_that_is_no_container_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises((KeyError, AttributeError)):
        parse_inspect(answer, 0.0)


def test_stats_oncgroup_v2() -> None:
    assert parse_stats(cgroup_v2()) == Usage(
        cpu=CpuCounters(3_000_000_000, 50_000_000_000, 4),
        cpu_before=CpuCounters(2_000_000_000, 46_000_000_000, 4),
        memory_bytes=1_500_000,
        memory_limit_bytes=3_000_000,
        memory_percent=50.0,
        pids=5,
        network_rx_bytes=11,
        network_tx_bytes=22,
        block_read_bytes=1000,
        block_write_bytes=200,
        throttled_periods=4,
        throttled_ns=777,
    )


def test_a_container_of_podman_is_measured_by_the_clock() -> None:
    """The machine did nothing else: by its CPU time, the container would have used two CPUs."""

    def measured(second: int, total: int) -> CpuCounters | None:
        answer = {
            "read": f"2026-03-01T10:00:{second:02}.5Z",
            "cpu_stats": {
                "cpu_usage": {"total_usage": total},
                "system_cpu_usage": 30_000_000_000 + total,
                "online_cpus": 2,
            },
        }
        usage = parse_stats(answer, podman=True)
        assert usage is not None
        assert usage.cpu_before is None
        return usage.cpu

    assert cpu_percent(measured(10, 0), measured(12, 600_000_000)) == pytest.approx(30)


def test_stats_of_podman() -> None:
    """No memory statistics, precpu of zeros, "no limit" as 2^64 - 1, rios and wios."""
    usage = parse_stats(
        {
            "cpu_stats": {
                "cpu_usage": {"total_usage": 500, "percpu_usage": None},
                "system_cpu_usage": 90_000,
                "online_cpus": 2,
                "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
            },
            "precpu_stats": {"cpu_usage": {"total_usage": 0}, "system_cpu_usage": 0},
            "memory_stats": {"usage": 4096, "max_usage": 4096, "limit": 2**64 - 1},
            "blkio_stats": {
                "io_service_bytes_recursive": [
                    {"op": "read", "value": 7},
                    {"op": "rios", "value": 1000},
                ]
            },
            "pids_stats": {"current": 1},
            "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}},
        }
    )
    assert usage is not None
    assert usage.cpu == CpuCounters(500, 90_000, 2)
    assert usage.cpu_before is None
    assert (usage.memory_bytes, usage.memory_limit_bytes, usage.memory_percent) == (
        4096,
        None,
        None,
    )
    assert (usage.block_read_bytes, usage.block_write_bytes) == (7, 0)


def test_stats_of_a_container_that_stopped_are_no_sample() -> None:
    assert (
        parse_stats(
            {
                "read": NEVER,
                "pids_stats": {},
                "blkio_stats": {"io_service_bytes_recursive": None},
                "cpu_stats": {"cpu_usage": {"total_usage": 0}, "throttling_data": {"periods": 0}},
                "precpu_stats": {"cpu_usage": {"total_usage": 0}},
                "memory_stats": {},
                "name": "/oom",
            }
        )
        is None
    )


def test_never_is_no_time() -> None:
    assert parse_time(NEVER) is None
    assert parse_time("") is None
    assert parse_time(None) is None
