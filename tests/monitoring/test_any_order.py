"""Whatever the order, the history is that of one run in order: the product's central promise.

Facts arrive in batches, windows run shuffled, repeated, in two threads, some crash at a random
statement, parts are replayed, operators resolve alerts and policies are edited at fixed event
times. The current history, and the evidence for it, must be those of a single run over everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from monitoring.alerts import folding
from monitoring.alerts.acts import Act, record_act
from monitoring.alerts.history import update_alerts
from monitoring.evaluation import register_versions, score_policies
from monitoring.policy.loader import load_policies
from monitoring.replay import replay
from monitoring.window import Window
from sqlalchemy import event, select

from tests.monitoring.facts import LONG_AFTER, T0, cover, put_requests, put_sample
from tests.monitoring.test_history import clear, export
from tests.servers.mariadb import MariaDbServer
from userdb.migrate import upgrade
from userdb.models import PolicyScore, Series
from userdb.series import intern_series
from userdb.store import Store, open_store
from userdb.times import from_minute

SPAN = 36
#: Minute at which the policies are edited.
EDIT = 18
LOOKBACK = 30
COLLECTORS = {"request_logs": "request", "container_stats": "container"}

POLICIES = """
policies:
  - name: timeouts
    signal: requests.timeouts
    by: [service]
    window: 2m
    condition: "> 5"
    recover: "< 2"
    for: 2m
    keep_firing_for: 3m
    flapping: {lookback: 8, changes: 3}
  - name: silence
    signal: requests.count
    by: [service]
    window: 3m
    condition: "< 1"
    forget: 10m
  - name: ratio
    signal: requests.timeout_ratio
    by: [service]
    window: 3m
    min_samples: 15
    condition: "> 0.3"
    no_data: alert
    for: 1m
    cooldown: 4m
    evaluation_interval: 2m
  - name: memory
    signal: containers.memory_percent
    by: [container]
    window: 5m
    aggregate: last
    condition: "> 5"
    no_data: resolve
    forget: 12m
  - {name: gone, kind: absence, signal: containers.running, by: [container], window: 4m, forget: 9m}
  - {name: fresh, kind: new_value, signal: requests.count, label: route, memory: 15m, window: 2m}
  - name: surge
    kind: change
    signal: requests.timeouts
    by: [service]
    window: 3m
    threshold: 2
    forget: 10m
  - name: burn
    kind: burn_rate
    errors: [requests.timeouts]
    total: requests.count
    by: [service]
    objective: 0.9
    windows: [{long: 8m, short: 2m, factor: 3}]
    forget: 10m
  - {name: slow-and-loud, kind: composite, all: [ratio], unless: [silence], for: 1m}
  - {name: anything, kind: composite, any: [slow-and-loud, memory], keep_firing_for: 2m}
"""
EDITED = POLICIES.replace('"> 5"\n    recover', '"> 3"\n    recover').replace(
    "requests.timeout_ratio\n    by: [service]", "requests.timeout_ratio\n    by: [service, route]"
)

Span = tuple[int, int]


@dataclass(frozen=True)
class Story:
    """What happens, and in which order ``often`` sees it. Minutes count from T0.

    Attributes:
        timeouts: of each minute: timeouts among ten requests, None where there was no request.
        memory: minutes to samples of a container.
        gap: minutes that were not collected.
        batches: with which batch of facts each minute arrives.
        resolved: policy, and seconds after T0 at which an operator resolved its alert.
        early: steps before the edit.
        late: steps after it.
        threads: whether windows run in two threads.
    """

    timeouts: Sequence[int | None]
    memory: dict[int, int]
    gap: range
    batches: Sequence[int]
    resolved: Sequence[tuple[str, int]]
    early: Sequence[tuple[str, Any]]
    late: Sequence[tuple[str, Any]]
    threads: bool


@st.composite
def stories(draw: st.DrawFn) -> Story:
    cuts = sorted({0, SPAN, *draw(st.lists(st.integers(1, SPAN - 1), max_size=4))})
    windows = list(pairwise(cuts))
    before_edit = [one for one in windows if one[1] <= EDIT]
    crashes = st.tuples(st.sampled_from(windows), st.integers(1, 60))
    batches = [("facts", number) for number in range(3)]
    early = draw(st.lists(st.sampled_from(batches), max_size=2, unique=True))
    if before_edit:
        early += [
            ("window", one) for one in draw(st.lists(st.sampled_from(before_edit), max_size=2))
        ]
    resolved = draw(
        st.lists(
            st.tuples(st.sampled_from(["timeouts", "memory"]), st.integers(60, SPAN * 60)),
            max_size=2,
        )
    )
    late = [
        *(one for one in batches if one not in early),
        *(("window", one) for one in windows),
        *(("crash", one) for one in draw(st.lists(crashes, max_size=2))),
        *(("act", one) for one in resolved),
        ("cover", None),
    ]
    if draw(st.booleans()):
        late.append(("replay", draw(st.sampled_from(windows))))
    late = draw(st.permutations(late))
    if draw(st.booleans()):  # what operators do is often the last that happens
        late = sorted(late, key=lambda step: step[0] == "act")
    begin, length = draw(st.integers(0, SPAN - 1)), draw(st.integers(0, 6))
    return Story(
        timeouts=draw(st.lists(st.sampled_from([None, 0, 0, 3, 9]), min_size=SPAN, max_size=SPAN)),
        memory=draw(st.dictionaries(st.integers(0, SPAN - 1), st.integers(1, 9), max_size=9)),
        gap=range(begin, min(begin + length, SPAN)),
        batches=draw(st.lists(st.integers(0, 2), min_size=SPAN, max_size=SPAN)),
        resolved=resolved,
        early=draw(st.permutations(early)),
        late=late,
        threads=draw(st.booleans()),
    )


class Teller:
    """Lets a story happen in one database."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.before = _policies(folder / "before", POLICIES)
        self.after = _policies(folder / "after", EDITED)
        self.loaded = self.before
        self._left: int | None = None
        event.listen(store.engine, "before_cursor_execute", self._count)

    def begin(self) -> None:
        clear(self.store)
        self.loaded = self.before
        register_versions(self.store, self.before, now=from_minute(T0), edits=True)

    def edit(self) -> None:
        self.loaded = self.after
        register_versions(self.store, self.after, now=from_minute(T0 + EDIT), edits=True)

    def take(self, story: Story, step: tuple[str, Any]) -> None:
        what, argument = step
        if what == "facts":
            self._put(story, argument)
        elif what == "cover":
            for first, stop in ((-LOOKBACK, story.gap.start), (story.gap.stop, SPAN)):
                for collector, family in (
                    ("request_logs", "request"),
                    ("container_stats", "container"),
                ):
                    if first < stop:
                        cover(self.store, T0 + first, T0 + stop, collector=collector, family=family)
        elif what == "act":
            self._resolve(*argument)
        elif what == "replay":
            report = replay(self.store, _window(argument), now=LONG_AFTER, loaded=self.loaded)
            assert not report.errors
        elif what == "window":
            self.run(argument)
        else:
            window, statements = argument
            with self._crashing(statements), suppress(Crash):
                self.run(window, check=False)

    def run(self, window: Span, *, check: bool = True, store: Store | None = None) -> None:
        chosen = store or self.store
        scores = score_policies(_window(window), chosen, now=LONG_AFTER, loaded=self.loaded)
        report = update_alerts(chosen, now=LONG_AFTER)
        assert not check or not (scores.errors or report.errors), (scores.errors, report.errors)

    def run_all(self, windows: Sequence[Span], *, threads: bool) -> None:
        if not threads:
            for window in windows:
                self.run(window)
            return

        def work(own: Sequence[Span]) -> None:
            store = open_store(self.store.url.url.render_as_string(hide_password=False))
            try:
                for window in own:
                    self.run(window, store=store)
            finally:
                store.close()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, (windows[::2], windows[1::2])))

    def _put(self, story: Story, batch: int) -> None:
        mine = {
            minute
            for minute in range(SPAN)
            if story.batches[minute] == batch and minute not in story.gap
        }
        rows = {
            T0 + minute: {"requests": 10, "timeout": value}
            for minute, value in enumerate(story.timeouts)
            if value is not None and minute in mine
        }
        put_requests(self.store, rows)
        for minute, value in story.memory.items():
            if minute in mine:
                put_sample(self.store, T0 + minute, "worker", memory_percent=float(value))

    def _resolve(self, policy: str, second: int) -> None:
        labels = {"service": "sim"} if policy == "timeouts" else {"container": "worker"}

        def work(connection):
            (series,) = intern_series(connection, "group", [labels]).values()
            at = from_minute(T0 + second // 60).replace(second=second % 60)
            done = Act("resolve", at, "ops", None)
            record_act(connection, policy, series, done, alert_id="", span_from=from_minute(T0))

        self.store.write(work)

    @contextmanager
    def _crashing(self, statements: int) -> Iterator[None]:
        self._left = statements
        try:
            yield
        finally:
            self._left = None

    def _count(self, *_: object) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Crash


class Crash(Exception):
    """The process ended here."""


def _policies(folder: Path, text: str):
    folder.mkdir(exist_ok=True)
    (folder / "p.yaml").write_text(text)
    loaded = load_policies(folder)
    assert not loaded.errors
    return loaded


def _window(span: Span) -> Window:
    return Window.of_minutes(T0 + span[0], T0 + span[1])


def evidence(store: Store):
    """Intervals by label set: series ids depend on the order of arrival."""
    with store.read() as connection:
        marks = {
            row.id: row.fingerprint
            for row in connection.execute(select(Series.id, Series.fingerprint))
        }
        return sorted(
            (
                row.policy,
                row.first_minute,
                row.last_minute,
                marks.get(row.series_id, ""),
                row.evaluation_class,
                row.extreme,
                row.value_array or b"",
            )
            for row in connection.execute(select(PolicyScore.__table__))
        )


@pytest.fixture(autouse=True, scope="module")
def small_batches() -> Iterator[None]:
    """So that the seams between a fold's batches are met too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "_BATCH", 2)
        yield


@contextmanager
def told_in(urls: Sequence[str], folder: Path) -> Iterator[tuple[Teller, Teller]]:
    stores = [open_store(url) for url in urls]
    for store in stores:
        upgrade(store)
    once, often = (Teller(store, folder) for store in stores)
    yield once, often
    for store in stores:
        store.close()


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[tuple[Teller, Teller]]:
    urls = [f"sqlite:///{tmp_path / name}.sqlite" for name in ("once", "often")]
    with told_in(urls, tmp_path) as tellers:
        yield tellers


@pytest.fixture
def on_mariadb(mariadb_server: MariaDbServer, tmp_path: Path) -> Iterator[tuple[Teller, Teller]]:
    names = ("any_order_once", "any_order_often")
    with told_in([mariadb_server.create_database(name) for name in names], tmp_path) as tellers:
        yield tellers


def check(tellers: tuple[Teller, Teller], story: Story) -> None:
    once, often = tellers
    once.begin()
    once.edit()
    for batch in range(3):
        once.take(story, ("facts", batch))
    once.take(story, ("cover", None))
    for one in story.resolved:
        once.take(story, ("act", one))
    once.run((0, SPAN))

    often.begin()
    for step in story.early:
        often.take(story, step)
    often.edit()
    late = [step for step in story.late if not (story.threads and step[0] == "window")]
    for step in late:
        often.take(story, step)
    windows = [argument for what, argument in story.late if what == "window"]
    # whatever changed under windows that had run is found by its dirty tokens alone
    often.run_all(windows if story.threads else windows[-1:], threads=story.threads)

    assert export(often.store) == export(once.store)
    assert evidence(often.store) == evidence(once.store)


_RELAXED = settings(
    # a failure is told within seconds; shrinking it would take longer than a test may
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)


@settings(_RELAXED, max_examples=30)
@given(story=stories())
def test_any_order_gives_the_same_history(on_sqlite, story):
    check(on_sqlite, story)


@pytest.mark.mariadb
@settings(_RELAXED, max_examples=12)
@given(story=stories())
def test_any_order_gives_the_same_history_on_mariadb(on_mariadb, story):
    check(on_mariadb, story)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@settings(_RELAXED, max_examples=2000)
@given(story=stories())
def test_thousands_of_orders_give_the_same_history(on_sqlite, story):
    check(on_sqlite, story)


@pytest.mark.nightly
@pytest.mark.mariadb
@pytest.mark.timeout(3600)
@settings(_RELAXED, max_examples=1000)
@given(story=stories())
def test_thousands_of_orders_give_the_same_history_on_mariadb(on_mariadb, story):
    check(on_mariadb, story)
