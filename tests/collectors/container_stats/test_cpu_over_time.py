"""CPU over whole intervals, whatever happens to a container, its machine and the collections."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitoring.window import Window
from sqlalchemy import select

from include.collectors.container_stats.collector import ContainerStatsCollector
from include.collectors.container_stats.runtime import (
    Container,
    CpuCounters,
    Listing,
    Period,
    Usage,
)
from include.collectors.container_stats.settings import ContainerStatsSettings, EngineHost
from userdb.errors import CollectionError
from userdb.models import ContainerSample, Series
from userdb.store import Store

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)
CPUS = 4
#: What happens in a step before its collection, and whether the collection succeeds.
Event = Literal["nothing", "restart", "reboot", "stop"]


@dataclass(frozen=True)
class Step:
    """Five minutes: what happens at their middle, and CPU seconds before and after it."""

    event: Event
    before_s: int
    after_s: int
    collected: bool


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["nothing", "nothing", "nothing", "restart", "reboot", "stop"]),
        st.integers(0, CPUS * 150),
        st.integers(0, CPUS * 150),
        st.sampled_from([True, True, True, False]),
    ),
    min_size=2,
    max_size=9,
)


class Simulated:
    """A runtime with one container; ``run`` lets a step pass."""

    def __init__(self) -> None:
        self.total_ns, self.system_ns = 10**9, 10**12
        self.started_at: datetime | None = START - timedelta(days=1)
        self.works = True
        self.now = START

    def run(self, step: Step) -> None:
        half = CPUS * 150 * 10**9
        self.system_ns += half
        self.total_ns += step.before_s * 10**9 if self.started_at else 0
        if step.event == "stop":
            self.started_at = None
        elif step.event != "nothing":
            self.total_ns = 0
            self.started_at = self.now + STEP / 2
            self.system_ns = 0 if step.event == "reboot" else self.system_ns
        self.system_ns += half
        self.total_ns += step.after_s * 10**9 if self.started_at else 0
        self.now += STEP
        self.works = step.collected

    def containers(self, period: Period | None = None) -> Listing:
        if not self.works:
            raise CollectionError("the engine is away")
        usage = Usage(cpu=CpuCounters(self.total_ns, self.system_ns, CPUS))
        running = self.started_at is not None
        return Listing(
            (
                Container(
                    container_id="id",
                    name="sim",
                    image="sim:1",
                    labels={},
                    state="running" if running else "exited",
                    restarts=0,
                    read_after_s=0.0,
                    started_at=self.started_at or START - timedelta(days=1),
                    usage=usage if running else None,
                ),
            )
        )


_names = count()


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_cpu_is_that_of_all_the_time_since_the_last_sample_of_the_same_run(
    sqlite_store: Store, steps: list[Step]
) -> None:
    runtime, name = Simulated(), f"host-{next(_names)}"
    host = EngineHost(name=name, url="unix:///nowhere")
    collector = ContainerStatsCollector(
        ContainerStatsSettings(hosts=[host]), open_runtime=lambda *_: runtime
    )
    expected: dict[int, float | None] = {}
    used = passed = 0
    known = False  # whether there is a sample of the same run to take the difference to
    for step in steps:
        runtime.run(step)
        used, passed = used + step.before_s + step.after_s, passed + CPUS * 300
        if step.event != "nothing":
            known = False
        window = Window(runtime.now - STEP, runtime.now)
        collector.collect(window, sqlite_store, now=runtime.now + timedelta(seconds=3))
        if step.collected:
            share = 100 * CPUS * used / passed
            running = runtime.started_at is not None
            expected[window.stop_minute - 1] = share if known and running else None
            known, used, passed = running, 0, 0
    with sqlite_store.read() as connection:
        rows = connection.execute(
            select(ContainerSample.minute, ContainerSample.cpu_percent, Series.labels).join(
                Series, Series.id == ContainerSample.series_id
            )
        )
        found = {row.minute: row.cpu_percent for row in rows if row.labels["host"] == name}
    assert found == {
        minute: None if share is None else pytest.approx(share)
        for minute, share in expected.items()
    }
