"""What an engine's event lines mean, and what becomes of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.collectors.container_stats.docker_engine import DockerEngine
from include.collectors.container_stats.engine_events import event_params, parse_events
from include.collectors.container_stats.event_rows import event_id, event_record, happened
from include.collectors.container_stats.runtime import Container, ContainerEvent, Listing, Period
from include.collectors.container_stats.settings import EngineHost
from tests.servers.scripted_engine import run_scripted_engine

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PERIOD = Period(NOW - timedelta(minutes=5), NOW)
SECOND = 10**9
LAST = int(NOW.timestamp()) * SECOND


def _line(action: str, *, ago_s: float = 60, mark: str = "id-sim", **attributes: str) -> bytes:
    at = LAST - int(ago_s * SECOND)
    event: dict[str, Any] = {
        "Type": "container",
        "Action": action,
        "Actor": {"ID": mark, "Attributes": {"name": "sim", "image": "sim:1", **attributes}},
        "time": at // SECOND,
        "timeNano": at,
    }
    return json.dumps(event).encode()


def test_what_is_kept_of_dockers_events() -> None:
    lines = [
        _line("create", ago_s=90),
        _line("start", ago_s=80),
        _line("exec_create: sh -c true", ago_s=75),
        _line("health_status: unhealthy", ago_s=70, service="web"),
        _line("oom", ago_s=60),
        _line("die", ago_s=50, exitCode="137"),
        json.dumps({"Type": "network", "Action": "connect", "time": LAST // SECOND - 5}).encode(),
    ]
    found = parse_events(lines, PERIOD)
    assert (found.read, found.bad) == (7, 0)
    assert [(e.action, e.health, e.exit_code) for e in found.events] == [
        ("health_status", "unhealthy", None),
        ("oom", None, None),
        ("die", None, 137),
    ]
    assert found.events[0].labels == {"service": "web"}
    assert found.events[0].occurred_at == NOW - timedelta(seconds=70)
    assert found.oldest == NOW - timedelta(seconds=90)


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        ([], False),
        (["kill"], True),
        (["stop"], True),
        (["restart"], True),  # Podman says it before the end, Docker after it
        (["kill", "die", "start"], False),
        (["restart", "start"], False),
    ],
)
def test_an_end_that_somebody_asked_for(before: list[str], asked: bool) -> None:
    lines = [_line(action, ago_s=60 - at) for at, action in enumerate(before)]
    last = parse_events([*lines, _line("die", ago_s=30, exitCode="1")], PERIOD).events[-1]
    assert last.asked is asked


def test_an_end_is_not_asked_for_by_what_happened_to_another() -> None:
    lines = [_line("kill", mark="another"), _line("die", ago_s=30)]
    assert [event.asked for event in parse_events(lines, PERIOD).events] == [False]


@pytest.mark.parametrize(
    ("ago_s", "kept"), [(300, False), (299.999999, True), (0, True), (-0.000001, False)]
)
def test_periods_meet_and_do_not_overlap(ago_s: float, kept: bool) -> None:
    assert bool(parse_events([_line("die", ago_s=ago_s)], PERIOD).events) is kept


def test_the_question_ends_where_an_engine_would_go_on_for_ever() -> None:
    at = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    period = Period(at - timedelta(minutes=5), at)
    assert event_params(period, podman=False) == {
        "since": "1772366100.250000000",
        "until": "1772366400.250000000",
    }
    assert event_params(period, podman=True) == {"since": "1772366100", "stream": "false"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    ["Type", "Action", "Actor", "status", "id", "from", "time", "timeNano", "HealthStatus"]
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.binary(max_size=40)
        | st.dictionaries(_FIELDS, _JSON).map(lambda event: json.dumps(event).encode())
    )
)
def test_no_line_breaks_the_others(lines: list[bytes]) -> None:
    (found,) = parse_events([*lines, _line("oom", mark="certain")], PERIOD).events[-1:]
    assert found.action == "oom"


@given(st.text(max_size=300), st.text(max_size=300), st.dictionaries(st.just("service"), st.text()))
def test_every_event_fits_its_row(name: str, image: str, labels: dict[str, str]) -> None:
    event = _event("die", container=name, image=image, labels=labels)
    record = event_record(event, "local", NOW)
    assert len(record.event_id) <= 64
    for text in (record.container, record.service, record.message, json.dumps(record.detail)):
        assert text is None or text.encode()
    assert all(len(text or "") <= 255 for text in (record.container, record.service))


def _event(action: Any, *, ago_s: float = 60, **changes: Any) -> ContainerEvent:
    given_: dict[str, Any] = {
        "container_id": "id-sim",
        "container": "sim",
        "image": "sim:1",
        "labels": {},
        "action": action,
        "time_ns": LAST - int(ago_s * SECOND),
        "occurred_at": NOW - timedelta(seconds=ago_s),
    }
    return ContainerEvent(**(given_ | changes))


@pytest.mark.parametrize(
    ("told", "code"),
    [("-1", -1), ("--5", None), ("-", None), ("3221225786", None), ("9" * 5000, None), ("²", None)],
)
def test_an_exit_code_that_is_none_costs_no_event(told: str, code: int | None) -> None:
    found = parse_events([_line("die", exitCode=told), _line("oom", mark="other")], PERIOD)
    assert [(e.action, e.exit_code) for e in found.events] == [("die", code), ("oom", None)]


def test_an_id_is_of_the_event_and_not_of_how_it_was_read() -> None:
    same = {
        event_id(_event("die")),
        event_id(_event("die", container="renamed", labels={"a": "b"})),
    }
    assert len(same) == 1
    others = {
        event_id(_event("oom")),
        event_id(_event("die", ago_s=61)),
        event_id(_event("die", container_id="another")),
    }
    assert len(same | others) == 4


@pytest.mark.parametrize(
    ("event", "level", "message"),
    [
        (_event("die", exit_code=3), "error", "sim ended with exit code 3"),
        (_event("die", exit_code=0), "info", "sim ended with exit code 0"),
        (
            _event("die", exit_code=137, asked=True),
            "info",
            "sim was stopped, and ended with exit code 137",
        ),
        (_event("oom"), "error", "sim ran out of memory, and the kernel ended a process of it"),
        (_event("health_status", health="unhealthy"), "error", "sim is unhealthy"),
        (_event("health_status", health="healthy"), "info", "sim is healthy"),
        (_event("restart"), "warning", "sim was restarted"),
        (_event("restart", container=""), "warning", "id-sim was restarted"),
    ],
)
def test_levels_and_messages(event: ContainerEvent, level: str, message: str) -> None:
    record = event_record(event, "local", NOW)
    assert (record.level, record.message) == (level, message)
    assert (record.event_type, record.exception_type) == ("container", event.action)


def _container(**changes: Any) -> Container:
    given_: dict[str, Any] = {
        "container_id": "id-sim",
        "name": "sim",
        "image": "sim:1",
        "labels": {},
        "state": "running",
        "restarts": 0,
        "read_after_s": 0.1,
    }
    return Container(**(given_ | changes))


def test_what_happened_is_counted_for_each_container() -> None:
    events = [
        _event("die"),
        _event("die", asked=True),
        _event("oom"),
        _event("die", container_id="another"),
        _event("restart"),
    ]
    found = happened(_container(), events, PERIOD)
    assert (found.exits, found.oom_kills) == (1, 1)


@pytest.mark.parametrize(("ago_s", "kills"), [(60, 1), (300, 0)])
def test_an_engine_without_events_of_memory_is_believed_by_its_state(
    ago_s: float, kills: int
) -> None:
    ended = _container(oom_killed=True, finished_at=NOW - timedelta(seconds=ago_s))
    assert happened(ended, [], PERIOD).oom_kills == kills
    untold = happened(ended, None, PERIOD)
    assert (untold.exits, untold.oom_kills) == (None, kills or None)


def _ask(url: str, timeout_s: float = 5.0, **more: Any) -> Listing:
    host = EngineHost(name="local", url=url, **more)
    return DockerEngine(host, timeout_s=timeout_s, concurrency=4).containers(PERIOD)


def _answers(**more: Any) -> dict[str, Any]:
    entry = {"Id": "id-sim", "Names": ["/sim"], "Image": "sim:1", "Labels": {"team": "red"}}
    inspect = {"Id": "id-sim", "Name": "/sim", "State": {"Status": "exited"}}
    return {
        "/_ping": (200, b"OK"),
        "/containers/json": (200, [entry]),
        "/containers/id-sim/json": (200, inspect),
        **more,
    }


def test_events_are_of_the_containers_that_are_looked_at() -> None:
    lines = b"\n".join(
        [
            _line("die", exitCode="1"),
            _line("die", mark="gone", ago_s=50, name="gone-1", team="red"),
            _line("die", mark="other", ago_s=40, name="gone-2", team="blue"),
            b"garbage",
        ]
    )
    with run_scripted_engine(_answers(**{"/events": (200, lines)})) as engine:
        listing = _ask(engine.url, include={"team": "red"})
    assert listing.events is not None
    assert [(e.container, e.labels["team"]) for e in listing.events] == [
        ("sim", "red"),
        ("gone-1", "red"),
    ]
    assert listing.notes == ("1 of 4 events made no sense",)


def test_events_that_are_refused_are_a_note_and_no_failure() -> None:
    answers = _answers(**{"/events": (403, b"forbidden by administrative rules")})
    with run_scripted_engine(answers) as engine:
        listing = _ask(engine.url)
    assert listing.events is None
    assert len(listing.containers) == 1
    assert listing.notes == (
        "events since 11:55:00Z were not told: HTTP 403: forbidden by administrative rules",
    )


def _hang() -> tuple[int, Any]:
    time.sleep(3)
    return 200, b""


def _drip() -> tuple[int, Any]:
    def lines() -> Iterator[bytes]:
        for _ in range(30):
            time.sleep(0.1)
            yield _line("exec_start: sh") + b"\n"

    return 200, lines()


@pytest.mark.parametrize("answer", [_hang, _drip])
def test_events_that_take_too_long_cost_a_third_of_the_time(answer: Any) -> None:
    began = time.perf_counter()
    with run_scripted_engine(_answers(**{"/events": answer})) as engine:
        listing = _ask(engine.url, timeout_s=3.0)
        assert time.perf_counter() - began < 2.5
    assert len(listing.containers) == 1
    assert "were not told" in listing.notes[0]


def test_a_full_buffer_of_events_is_said() -> None:
    lines = b"\n".join(_line("exec_start: sh", ago_s=200 - n / 10) for n in range(256))
    with run_scripted_engine(_answers(**{"/events": (200, lines)})) as engine:
        (note,) = _ask(engine.url).notes
    assert note.startswith("events before 11:56:40Z may be lost: the engine tells of 256 events")
