"""Nodes that are slow, that hang, that answer garbage, or whose clock is wrong."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.collectors.pull.facts import (
    FIRST,
    STOP,
    covers,
    events,
    pull,
    requests,
    samples,
    statuses,
)
from tests.servers.node import Answer, page, run_scripted_node
from userdb.errors import ConfigError
from userdb.store import Store
from userdb.times import from_minute

COVERED = [{"from": from_minute(FIRST).isoformat(), "to": from_minute(STOP).isoformat()}]


def event(mark: str, at: datetime | None = None, **given: Any) -> dict[str, Any]:
    happened = (at or from_minute(FIRST)).isoformat()
    return {
        "event_id": mark,
        "event_type": "gateway",
        "source": "x",
        "level": "error",
        "message": "m",
        "occurred_at": happened,
        "created_at": happened,
    } | given


def minute(at: int, ok: int = 1, **given: Any) -> dict[str, Any]:
    rows = [{"service": "sim", "source": "edge", "requests": ok, "ok": ok} | given]
    return {"minute": from_minute(FIRST + at).isoformat(), "rows": rows}


def good(kind: str, _: BaseHTTPRequestHandler) -> bytes:
    items: dict[str, list[Any]] = {"events": [event("good")], "requests": [minute(0)]}
    return page(items.get(kind, []), covered=COVERED)


def hang(_: str, handler: BaseHTTPRequestHandler) -> None:
    time.sleep(20)


def drip(_: str, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(400):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def drip_headers(_: str, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
    for _ in range(400):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


@pytest.mark.parametrize("slow", [hang, drip, drip_headers])
def test_a_node_that_does_not_come_to_an_end_takes_its_time_limit_and_nobody_elses(
    sqlite_store: Store, slow: Answer
) -> None:
    with run_scripted_node("slow", slow) as one, run_scripted_node("good", good) as other:
        began = time.perf_counter()
        report = pull(sqlite_store, one, other, timeout_s=4)
        assert time.perf_counter() - began < 12
    found = statuses(report)
    assert {found[f"slow/{kind}"] for kind in ("events", "requests", "containers")} == {"failed"}
    assert {found[f"good/{kind}"] for kind in ("events", "requests", "containers")} == {"ok"}
    assert (events(sqlite_store), requests(sqlite_store)) == ({"good": 1}, {("good/edge", 0): 1})
    assert covers(sqlite_store, "request") == []
    assert any("did not answer within 4 s" in (one.message or "") for one in report.sources)


def test_what_a_slow_node_answered_in_time_is_kept_and_read_on_from(sqlite_store: Store) -> None:
    asked: list[str] = []

    def slower(kind: str, handler: BaseHTTPRequestHandler) -> bytes | None:
        asked.append(handler.path)
        if kind != "events":
            return page([])
        if "since=one" in handler.path:
            if len(asked) == 2:
                time.sleep(6)
            return page([event("second")], cursor="two")
        return page([event("first")], cursor="one", more=True)

    with run_scripted_node("slow", slower) as node:
        pull(sqlite_store, node, timeout_s=3)
        assert events(sqlite_store) == {"first": 1}
        pull(sqlite_store, node)
    assert events(sqlite_store) == {"first": 1, "second": 1}
    assert sum("pull/events" in path and "since" not in path for path in asked) == 1


def status_500(_: str, handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(500)


def redirect(_: str, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "http://127.0.0.1:9/")
    handler.end_headers()


def cut_off(_: str, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"items": [')


GARBAGE: dict[str, tuple[Answer, str]] = {
    "html": (lambda *_: b"<html>", "no page"),
    "nothing": (lambda *_: b"", "no page"),
    "a list": (lambda *_: b"[]", "no page"),
    "lone surrogates": (lambda *_: page([{"event_id": "\ud800"}]), "no page"),
    "no cursor": (lambda *_: page([], cursor=None), "cursor"),
    "covered backwards": (
        lambda *_: page([], covered=[{"from": COVERED[0]["to"], "to": COVERED[0]["from"]}]),
        "covered.0",
    ),
    "not gzip": (None, "can't be read"),  # type: ignore[dict-item]
    "500": (status_500, "answered 500"),
    "redirect": (redirect, "answered 302"),
    "cut off": (cut_off, "can't be read"),
    "no way on": (lambda *_: page([], cursor="x", more=True), "doesn't move on"),
    "deeply nested": (lambda *_: b"[" * 100_000, "no page"),
}


def not_gzip(_: str, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(b"x" * 100)


GARBAGE["not gzip"] = (not_gzip, "can't be read")


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_fails_its_node_alone_and_says_what_was_wrong(
    sqlite_store: Store, name: str
) -> None:
    answer, why = GARBAGE[name]
    with run_scripted_node("bad", answer) as bad, run_scripted_node("good", good) as other:
        report = pull(sqlite_store, bad, other, timeout_s=10)
    found = {one.source: one for one in report.sources}
    assert found["bad/events"].status == "failed"
    assert why in (found["bad/events"].message or "")
    assert "secret-of-tests" not in str(report)
    assert found["good/requests"].status == "ok"
    assert events(sqlite_store) == {"good": 1}
    assert covers(sqlite_store, "event") == []


def test_items_that_are_none_are_counted_and_cost_none_of_the_others(sqlite_store: Store) -> None:
    items: dict[str, list[Any]] = {
        "events": [
            event("a", detail={"x": {"y": 1e400}, "deep": [[[1]]]}),
            event("b", level="loud"),
            5,
            event("c", message="\x00 null"),
        ],
        "requests": [minute(0, ok=-1), minute(1), minute(2, statuss=1), {"minute": "noon"}],
        "containers": [{"minute": from_minute(FIRST).isoformat(), "rows": [{"container": ""}]}],
    }
    with run_scripted_node("odd", lambda kind, _: page(items[kind], covered=COVERED)) as node:
        report = pull(sqlite_store, node)
    assert {one.source: (one.status, one.rejected) for one in report.sources} == {
        "odd/events": ("ok", 2),
        "odd/requests": ("ok", 3),
        "odd/containers": ("ok", 1),
    }
    assert [sample.where for sample in report.sources[0].samples] == [
        "events[1].level",
        "events[2].",
    ]
    assert events(sqlite_store) == {"a": 1, "c": 1}
    assert requests(sqlite_store) == {("odd/edge", 1): 1}
    assert samples(sqlite_store) == {}


def test_times_beyond_the_bounds_are_refused_and_counted(sqlite_store: Store) -> None:
    now = datetime.now(UTC)
    items: dict[str, list[Any]] = {
        "events": [
            event("now"),
            event("ahead", now + timedelta(hours=2)),
            event("ancient", now - timedelta(days=3)),
            event("never", datetime(1, 1, 1, tzinfo=UTC)),
        ],
        "requests": [minute(0), minute(600), minute(-4000)],
    }
    far = [{"from": from_minute(FIRST).isoformat(), "to": from_minute(STOP + 9).isoformat()}]
    with run_scripted_node("liar", lambda kind, _: page(items.get(kind, []), covered=far)) as node:
        report = pull(sqlite_store, node)
    rejected = {one.source: one.rejected for one in report.sources}
    assert (rejected["liar/events"], rejected["liar/requests"]) == (3, 2)
    assert events(sqlite_store) == {"now": 1}
    assert requests(sqlite_store) == {("liar/edge", 0): 1}
    # the future is not covered, whatever it says
    assert covers(sqlite_store, "request", FIRST, STOP + 9) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("hours", "side"), [(1, "ahead of"), (-1, "behind")])
def test_nothing_is_taken_of_a_node_whose_clock_is_wrong_until_it_is_right(
    sqlite_store: Store, hours: int, side: str
) -> None:
    shift = timedelta(hours=hours)

    def skewed(kind: str, _: BaseHTTPRequestHandler) -> bytes:
        time_there = (datetime.now(UTC) + shift).isoformat()
        items = [event("a")] if kind == "events" else []
        return page(items, node_time=time_there, covered=COVERED)

    with run_scripted_node("odd", skewed) as node:
        report = pull(sqlite_store, node)
        assert set(statuses(report).values()) == {"failed"}
        assert f"s {side} ours" in (report.sources[0].message or "")
        assert (events(sqlite_store), covers(sqlite_store, "event")) == ({}, [])
        shift = timedelta(0)
        assert set(statuses(pull(sqlite_store, node)).values()) == {"ok"}
    assert events(sqlite_store) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nodes: [{name: a/b, url: 'http://x'}]", "pull.nodes[0].name"),
        ("nodes: [{name: a, url: 'http://u:p@x'}]", "pull.nodes[0].url"),
        ("nodes: [{name: a, url: ftp://x}]", "pull.nodes[0].url"),
        ("nodes: [{name: a, url: 'http://x'}, {name: a, url: 'http://y'}]", "two nodes"),
        ("nodes: [{name: a, url: 'http://x', key: '${NOT_SET_KEY}'}]", "NOT_SET_KEY"),
        ("lookback: 10s", "lookback"),
    ],
)
def test_wrong_settings_are_named_and_not_repeated(tmp_path: Any, text: str, says: str) -> None:
    from include.collectors.config import load_settings

    path = tmp_path / "sources.yaml"
    path.write_text("pull:\n  " + text + "\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_settings(path)
    assert says in str(raised.value)
    assert "u:p@" not in str(raised.value)
