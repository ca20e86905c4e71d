"""Facts of userdb are those of the same samples in memory."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitoring.facts import UserdbFacts
from monitoring.scoring.facts import Selection
from monitoring.scoring.memory import MemoryFacts, Samples
from monitoring.signals import SIGNALS
from sqlalchemy import delete

from tests.monitoring.facts import T0, cover, put_requests, put_sample
from userdb.models import Collection, ContainerSample, Dirty, RequestMinute, Series

#: Minutes around T0 that samples and questions lie in.
REACH = 40
ANY_MINUTE = st.integers(-REACH, REACH - 1)
EXAMPLES = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def chosen(name: str, by: tuple[str, ...], **where) -> Selection:
    return Selection((SIGNALS[name],), by, where)


REQUESTS = [
    chosen("requests.count", ("service", "route")),
    chosen("requests.timeout_ratio", ("service",)),
    chosen("requests.count", ()),
    chosen("requests.timeouts", ("route", "source"), service="a*"),
    chosen("requests.count", ("instance",), route=["/x", "/z"], service="?"),
    Selection((SIGNALS["requests.count"], SIGNALS["requests.timeouts"]), ("service",)),
    chosen("requests.count", ("service",), service="nobody"),
]
CONTAINERS = [
    chosen("containers.cpu_percent", ("container",)),
    chosen("containers.cpu_percent", ("service",)),
    chosen("containers.running", (), container="b*"),
]


def empty(store) -> None:
    """What the example before left."""

    def work(connection):
        for table in (RequestMinute, ContainerSample, Series, Collection, Dirty):
            connection.execute(delete(table))

    store.write(work)


def cover_all_but(store, gaps, **of) -> None:
    covered = np.ones(2 * REACH, dtype=bool)
    for first, stop in gaps:
        covered[first + REACH : stop + REACH] = False
    edges = np.flatnonzero(np.diff(np.concatenate(([0], covered.astype(np.int8), [0]))))
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        cover(store, T0 - REACH + first, T0 - REACH + stop, **of)


def in_memory(columns, samples, gaps) -> MemoryFacts:
    """Samples are (labels, minute → value by column), minutes counted from T0."""
    series: dict[str, list[Samples]] = {column: [] for column in columns}
    for labels, rows in samples:
        for column in columns:
            own = sorted(minute for minute in rows if rows[minute][column] is not None)
            series[column].append(
                Samples(
                    labels,
                    np.array(own, dtype=np.int64) + T0,
                    np.array([rows[minute][column] for minute in own], dtype=np.float64),
                )
            )
    spans = [(T0 + first, T0 + stop) for first, stop in gaps]
    return MemoryFacts(series, dict.fromkeys(columns, spans))


def assert_equal(stored, held) -> None:
    assert stored.first == held.first
    assert list(stored.groups) == list(held.groups)
    assert stored.columns.keys() == held.columns.keys()
    for name in stored.columns:
        np.testing.assert_array_equal(stored.columns[name], held.columns[name])
    for name in ("sampled", "covered", "last_before"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(held, name))


@st.composite
def questions(draw):
    """Ranges [first, stop) and memories within what is told of."""
    first, stop = sorted(draw(st.sets(ANY_MINUTE, min_size=2, max_size=2)))
    return T0 + first, T0 + stop, draw(st.sampled_from([0, first + REACH, (first + REACH) // 2]))


GAPS = st.lists(
    st.tuples(ANY_MINUTE, st.integers(1, 15)).map(lambda gap: (gap[0], min(sum(gap), REACH))),
    max_size=3,
)


def assert_same_answers(store, held, selections, asked) -> None:
    with store.read() as connection:
        stored = UserdbFacts(store, connection)
        for selection in selections:
            for question in asked:
                assert_equal(stored.matrix(selection, *question), held.matrix(selection, *question))


def rows_of(**columns):
    """Rows by minute."""
    row = st.fixed_dictionaries(columns)
    return st.dictionaries(ANY_MINUTE, row, min_size=1, max_size=8)


@EXAMPLES
@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from(["a", "ab", "b"]), st.sampled_from(["/x", "/y"]), st.integers(1, 2)
        ),
        rows_of(requests=st.integers(0, 9), timeout=st.integers(0, 3)),
        max_size=5,
    ),
    GAPS,
    st.lists(questions(), min_size=1, max_size=3),
)
def test_requests_of_userdb_are_those_of_memory(store, series, gaps, asked):
    empty(store)
    samples = []
    for (service, route, file), rows in series.items():
        moved = {T0 + minute: row for minute, row in rows.items()}
        put_requests(store, moved, service=service, route=route, file_id=file)
        samples.append(({"service": service, "route": route}, rows))
    cover_all_but(store, gaps)
    held = in_memory(("requests", "timeout"), samples, gaps)
    assert_same_answers(store, held, REQUESTS, asked)


@EXAMPLES
@given(
    st.dictionaries(
        st.sampled_from(["a", "b1", "b2"]),
        rows_of(cpu_percent=st.none() | st.floats(0, 400), running=st.integers(0, 1)),
        max_size=3,
    ),
    GAPS,
    st.lists(questions(), min_size=1, max_size=3),
)
def test_samples_of_userdb_are_those_of_memory(store, series, gaps, asked):
    empty(store)
    for container, rows in series.items():
        for minute, row in rows.items():
            put_sample(store, T0 + minute, container, **row)
    cover_all_but(store, gaps, collector="container_stats", family="container")
    samples = [({"container": container}, rows) for container, rows in series.items()]
    held = in_memory(("cpu_percent", "running"), samples, gaps)
    assert_same_answers(store, held, CONTAINERS, asked)
