from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.collectors.container_stats.formulas import (
    block_total,
    by_the_clock,
    count,
    cpu_counters,
    cpu_percent,
    memory_percent,
    memory_used,
    network_total,
    restarts_delta,
)
from include.collectors.container_stats.runtime import CpuCounters

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
COUNTERS = st.integers(min_value=0, max_value=2**63 - 1)


def _counters(total_ns: int, system_ns: int, cpus: int = 2) -> CpuCounters:
    return CpuCounters(total_ns, system_ns, cpus)


def test_cpu_is_a_share_of_one_cpu() -> None:
    # in 10 s of each of 4 CPUs, the container had 15 s
    before, after = _counters(5_000, 100, 4), _counters(5_000 + 15 * 10**9, 100 + 40 * 10**9, 4)
    assert cpu_percent(before, after) == pytest.approx(150.0)


def test_an_idle_container_is_at_zero_and_an_unmeasured_one_at_nothing() -> None:
    assert cpu_percent(_counters(7, 100), _counters(7, 200)) == 0.0
    assert cpu_percent(None, _counters(7, 200)) is None
    assert cpu_percent(_counters(7, 100), None) is None
    assert cpu_percent(_counters(7, 100), _counters(8, 100)) is None
    assert cpu_percent(_counters(7, 100), _counters(8, 200, cpus=0)) is None


@given(COUNTERS, COUNTERS, COUNTERS, COUNTERS, st.integers(1, 256))
def test_a_counter_that_went_back_gives_nothing(
    total: int, system: int, later_total: int, later_system: int, cpus: int
) -> None:
    percent = cpu_percent(
        _counters(total, system, cpus), _counters(later_total, later_system, cpus)
    )
    if later_total < total or later_system <= system:
        assert percent is None
    else:
        assert percent is not None
        assert percent >= 0.0


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(1, 10**12)), min_size=1, max_size=20))
def test_a_counter_that_is_reset_costs_one_delta_only(steps: list[tuple[int, int]]) -> None:
    """Steps of CPU time and machine time; the container's counter begins anew before the last."""
    total, system = 10**15, 10**16
    before = _counters(total, system)
    for used, passed in steps[:-1]:
        after = _counters(before.total_ns + used, before.system_ns + passed)
        assert cpu_percent(before, after) == pytest.approx(used / passed * 200)
        before = after
    used, passed = steps[-1]
    reset = _counters(used, before.system_ns + passed)
    assert cpu_percent(before, reset) is None
    again = _counters(reset.total_ns + 50, reset.system_ns + 100)
    assert cpu_percent(reset, again) == pytest.approx(100.0)


def test_cpus_are_counted_where_the_engine_does_not_say() -> None:
    stats = {"cpu_usage": {"total_usage": 5, "percpu_usage": [1, 4]}, "system_cpu_usage": 9}
    assert cpu_counters(stats) == CpuCounters(5, 9, 2)
    assert cpu_counters(stats | {"online_cpus": 8}) == CpuCounters(5, 9, 8)


def test_counters_that_are_not_filled_in_are_none() -> None:
    assert cpu_counters({}) is None
    assert cpu_counters({"cpu_usage": {"total_usage": 0}, "throttling_data": {}}) is None
    podman = {"cpu_usage": {"total_usage": 0}, "system_cpu_usage": 0, "online_cpus": 0}
    assert cpu_counters(podman) is None


@pytest.mark.parametrize(
    ("stats", "used"),
    [
        pytest.param({"total_inactive_file": 30, "inactive_file": 90}, 70, id="v1"),
        pytest.param({"total_inactive_file": 0, "inactive_file": 90}, 100, id="v1-without-cache"),
        pytest.param({"total_inactive_file": 100, "inactive_file": 40}, 60, id="v1-all-is-cache"),
        pytest.param({"inactive_file": 40}, 60, id="v2"),
        pytest.param({"inactive_file": 100}, 100, id="v2-all-is-cache"),
        pytest.param({}, 100, id="podman"),
    ],
)
def test_memory_is_without_the_cache_that_can_be_dropped(stats: dict[str, int], used: int) -> None:
    assert memory_used({"usage": 100, "stats": stats}) == used


def test_memory_that_was_not_measured_is_none() -> None:
    assert memory_used({}) is None
    assert memory_percent(None, 100) is None
    assert memory_percent(5, None) is None
    assert memory_percent(5, 0) == 0.0
    assert memory_percent(5, 20) == 25.0


def test_network_is_summed_over_interfaces() -> None:
    networks = {"eth0": {"rx_bytes": 5, "tx_bytes": 1}, "eth1": {"rx_bytes": 7}}
    assert network_total(networks, "rx_bytes") == 12
    assert network_total(networks, "tx_bytes") == 1
    assert network_total({}, "rx_bytes") is None
    assert network_total(None, "rx_bytes") is None


def test_block_io_matches_whole_words() -> None:
    docker = [
        {"major": 254, "minor": 0, "op": "Read", "value": 10},
        {"major": 254, "minor": 16, "op": "Read", "value": 5},
        {"major": 254, "minor": 0, "op": "Write", "value": 3},
        {"major": 254, "minor": 0, "op": "Total", "value": 13},
    ]
    assert block_total(docker, "read") == 15
    assert block_total(docker, "write") == 3
    podman = [
        {"op": "read", "value": 4096},
        {"op": "rios", "value": 999},
        {"op": "write", "value": 512},
        {"op": "wios", "value": 888},
    ]
    assert block_total(podman, "read") == 4096
    assert block_total(podman, "write") == 512
    assert block_total([], "read") == 0
    assert block_total(None, "read") is None


def test_a_count_fits_userdb() -> None:
    assert count(2**63 - 1) == 2**63 - 1
    assert [count(value) for value in (2**64 - 1, -1, 1.5, "1", True, None)] == [None] * 6


def test_restarts_are_counted_from_the_previous_sample() -> None:
    long_ago = NOW - timedelta(days=9)
    assert restarts_delta(7, 5, created_at=long_ago, since=NOW) == 2
    assert restarts_delta(5, 5, created_at=long_ago, since=NOW) == 0
    assert restarts_delta(2, 5, created_at=long_ago, since=NOW) is None


def test_restarts_of_a_new_container_are_counted_from_zero() -> None:
    since = NOW - timedelta(minutes=5)
    assert restarts_delta(3, None, created_at=NOW - timedelta(minutes=1), since=since) == 3
    assert restarts_delta(3, None, created_at=NOW - timedelta(days=1), since=since) is None
    assert restarts_delta(3, None, created_at=None, since=since) is None


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_deltas_of_restarts_add_up(increases: list[int]) -> None:
    counts, total = [], 0
    for increase in increases:
        total += increase
        counts.append(total)
    deltas = [restarts_delta(counts[0], None, created_at=NOW, since=NOW - timedelta(minutes=1))]
    deltas += [
        restarts_delta(after, before, created_at=NOW, since=NOW)
        for before, after in pairwise(counts)
    ]
    assert sum(delta or 0 for delta in deltas) == counts[-1]


@pytest.mark.parametrize("year", [1969, 9649])
def test_a_clock_that_fits_no_column_measures_nothing(year: int) -> None:
    assert by_the_clock(CpuCounters(1, 2, 3), datetime(year, 1, 1, tzinfo=UTC)) is None
