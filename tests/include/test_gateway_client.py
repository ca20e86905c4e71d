"""The gateway client as business code uses it, writing into a real userdb."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import math
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import include.gateway_client as client
from include.gateway_client import (
    GatewayExceptionHandler,
    report_exceptions,
    report_gateway_exception,
)
from userdb.models import MonitorEvent
from userdb.store import Store


@pytest.fixture(autouse=True)
def _environment(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = store.url.url.render_as_string(hide_password=False)
    monkeypatch.setenv("USERDB_URL", url)
    monkeypatch.setenv("MONITORING_SPOOL", str(tmp_path / "spool"))
    monkeypatch.delenv("MONITORING_SERVICE", raising=False)
    monkeypatch.delenv("MONITORING_INSTANCE", raising=False)


def events(store: Store) -> list[Any]:
    with store.read() as connection:
        columns = MonitorEvent.__table__.columns
        return list(connection.execute(select(*columns).order_by(MonitorEvent.id)))


def only(store: Store) -> Any:
    found = events(store)
    assert len(found) == 1, found
    return found[0]


def test_the_public_surface_is_small() -> None:
    assert sorted(client.__all__) == [
        "GatewayExceptionHandler",
        "report_exceptions",
        "report_gateway_exception",
    ]
    assert str(inspect.signature(report_gateway_exception)) == (
        "(message: 'str', detail: 'dict[str, Any] | None' = None, level: 'str' = 'error', *, "
        "service: 'str | None' = None, instance: 'str | None' = None, "
        "occurred_at: 'datetime | None' = None, event_id: 'str | None' = None) -> 'str'"
    )


def test_an_event_is_stored_as_given(store: Store, tmp_path: Path) -> None:
    at = datetime(2026, 3, 1, 13, 30, 0, 123456, tzinfo=timezone(timedelta(hours=8)))
    detail = {"job": 42, "名": ["仿真", 1.5, None, True]}
    mark = report_gateway_exception(
        "仿真失败 🚨",
        detail,
        "critical",
        service="sim",
        instance="sim-1",
        occurred_at=at,
        event_id="job-42",
    )
    row = only(store)
    assert mark == row.event_id == "job-42"
    assert (row.event_type, row.source, row.level) == ("gateway", "gateway_client", "critical")
    assert (row.message, row.detail) == ("仿真失败 🚨", detail)
    assert (row.service, row.instance) == ("sim", "sim-1")
    assert row.occurred_at == datetime(2026, 3, 1, 5, 30, 0, 123456, tzinfo=UTC)
    assert (row.exception_type, row.fingerprint, row.rolled_up) == (None, None, False)
    assert not (tmp_path / "spool").exists()


def test_defaults_come_from_the_environment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = datetime.now(UTC)
    report_gateway_exception("a")
    monkeypatch.setenv("MONITORING_SERVICE", "sim")
    monkeypatch.setenv("MONITORING_INSTANCE", "sim-7")
    report_gateway_exception("b")
    first, second = events(store)
    assert first.level == "error"
    assert first.service is None
    assert first.instance
    assert (second.service, second.instance) == ("sim", "sim-7")
    assert before <= first.occurred_at <= datetime.now(UTC)
    assert first.event_id != second.event_id


def test_an_id_that_is_reported_again_is_stored_once(store: Store) -> None:
    report_gateway_exception("first", event_id="e1")
    report_gateway_exception("again", event_id="e1")
    report_gateway_exception("other case", event_id="E1")
    assert [row.message for row in events(store)] == ["first", "other case"]


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


_CYCLE: dict[str, Any] = {"a": 1}
_CYCLE["self"] = _CYCLE


@pytest.mark.parametrize(
    ("arguments", "kept", "note"),
    [
        ({"level": "loud"}, {"level": "error"}, "level was 'loud'"),
        ({"level": None}, {"level": "error"}, "level was 'None'"),
        ({"level": _Unprintable()}, {"level": "error"}, "whose text can't be had"),
        ({"occurred_at": datetime(2026, 3, 1)}, {}, "has no time zone"),
        ({"occurred_at": 12}, {}, "is not a datetime"),
        ({"occurred_at": "yesterday"}, {}, "is not a time"),
        (
            {"occurred_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=8)))},
            {},
            "is not a time (OverflowError)",
        ),
        ({"detail": {"a": object}}, {"detail": {"a": "<class 'object'>"}}, "JSON can't hold"),
        ({"detail": {"a": _Unprintable()}}, {"detail": {"a": "<_Unprintable>"}}, "_Unprintable"),
        ({"detail": {"a": math.nan, "b": 1}}, {"detail": {"a": "nan", "b": 1}}, "float"),
        ({"detail": ["x"]}, {"detail": {"value": ["x"]}}, "detail was not a mapping"),
        ({"detail": {"a": "x" * 300_000}}, {}, "detail had 3000"),
        ({"detail": _CYCLE}, {}, "detail held a dict"),
        ({"service": "s" * 300}, {"service": "s" * 255}, "service had 300"),
        ({"message": "m" * 70_000}, {"message": "m" * 65_536}, "message had 70000"),
        ({"event_id": "  "}, {}, "event_id was empty"),
    ],
)
def test_a_mistake_in_the_arguments_loses_no_event(
    store: Store,
    caplog: pytest.LogCaptureFixture,
    arguments: dict[str, Any],
    kept: dict[str, Any],
    note: str,
) -> None:
    before = datetime.now(UTC)
    mark = report_gateway_exception(**{"message": "kept", **arguments})
    row = only(store)
    assert row.event_id == mark
    assert note in row.detail.pop("reporting_notes")[0]
    assert note in caplog.text
    for name, value in {"message": "kept", **kept}.items():
        assert getattr(row, name) == value
    assert row.occurred_at >= before


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ({"level": "WARN"}, {"level": "warning"}),
        ({"level": "fatal"}, {"level": "critical"}),
        ({"message": None}, {"message": "None"}),
        ({"message": ValueError("x")}, {"message": "x"}),
        ({"message": "a\udce4\0b"}, {"message": "a\\udce4\\x00b"}),
        ({"detail": {1: {"\udce4": (1, 2)}}}, {"detail": {"1": {"\\udce4": [1, 2]}}}),
        ({"detail": {"n": 2**70}}, {"detail": {"n": str(2**70)}}),
        ({"service": " sim "}, {"service": "sim"}),
        ({"event_id": 7}, {"event_id": "7"}),
    ],
)
def test_what_has_a_plain_meaning_is_taken(
    store: Store, arguments: dict[str, Any], kept: dict[str, Any]
) -> None:
    report_gateway_exception(**{"message": "m", **arguments})
    row = only(store)
    assert {name: getattr(row, name) for name in kept} == kept


def test_a_long_id_still_identifies_its_event(store: Store) -> None:
    first = report_gateway_exception("m", event_id="x" * 100)
    assert first == report_gateway_exception("m", event_id="x" * 100)
    assert len(only(store).event_id) == 64


def _fail(depth: int = 0) -> None:
    if depth:
        _fail(depth - 1)
    raise LookupError("no such model")


def test_called_while_an_exception_is_handled_it_tells_that_one(store: Store) -> None:
    try:
        _fail()
    except LookupError:
        report_gateway_exception("job failed", {"job": 1})
    row = only(store)
    assert (row.message, row.exception_type) == ("job failed", "LookupError")
    assert row.detail["job"] == 1
    assert row.detail["exception"]["message"] == "no such model"
    assert "in _fail" in row.detail["exception"]["stack"]


def test_a_block_reports_and_raises(store: Store) -> None:
    with pytest.raises(LookupError), report_exceptions(service="sim", detail={"job": 1}):
        _fail()
    row = only(store)
    assert row.message == "LookupError: no such model"
    assert (row.service, row.level, row.detail["job"]) == ("sim", "error", 1)


def test_a_block_can_swallow(store: Store) -> None:
    with report_exceptions(reraise=False, level="warning", message="a job failed"):
        _fail()
    assert (only(store).level, only(store).message) == ("warning", "a job failed")


def test_functions_keep_their_nature(store: Store) -> None:
    @report_exceptions(reraise=False)
    def plain(x: int) -> int:
        """Doc."""
        return 10 // x

    @report_exceptions()
    async def coroutine(x: int) -> int:
        await asyncio.sleep(0)
        return 10 // x

    @report_exceptions()
    def generator(x: int) -> Iterator[int]:
        yield 1
        yield 10 // x

    @report_exceptions()
    async def stream(x: int) -> AsyncIterator[int]:
        yield 1
        yield 10 // x

    async def gather(x: int) -> list[int]:
        return [item async for item in stream(x)]

    assert (plain(5), plain.__name__, plain.__doc__) == (2, "plain", "Doc.")
    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isgeneratorfunction(generator)
    assert inspect.isasyncgenfunction(stream)
    assert asyncio.run(coroutine(5)) == 2
    assert list(generator(5)) == [1, 2]
    assert asyncio.run(gather(5)) == [1, 2]
    assert events(store) == []
    assert plain(0) is None
    with pytest.raises(ZeroDivisionError):
        asyncio.run(coroutine(0))
    with pytest.raises(ZeroDivisionError):
        list(generator(0))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(gather(0))
    assert [row.exception_type for row in events(store)] == ["ZeroDivisionError"] * 4


def test_an_exception_is_reported_once_on_its_way(store: Store) -> None:
    logger = logging.getLogger("test.once")
    logger.propagate = False
    handler = GatewayExceptionHandler()
    logger.addHandler(handler)

    @report_exceptions(service="outer")
    @report_exceptions(service="inner")
    def work() -> None:
        _fail()

    try:
        work()
    except LookupError:
        logger.exception("work failed")
    logger.removeHandler(handler)
    assert only(store).service == "inner"


def test_exits_and_cancellation_are_no_failures(store: Store) -> None:
    with pytest.raises(SystemExit), report_exceptions():
        raise SystemExit(1)
    with pytest.raises(KeyboardInterrupt), report_exceptions(reraise=False):
        raise KeyboardInterrupt

    @report_exceptions()
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert events(store) == []


def test_fingerprints_group_by_type_and_stack(store: Store) -> None:
    for depth in (1, 5):
        with report_exceptions(reraise=False):
            _fail(depth)
    with report_exceptions(reraise=False):
        raise LookupError("no such model")
    recursions, other = events(store)[:2], events(store)[2]
    assert recursions[0].fingerprint == recursions[1].fingerprint
    assert other.exception_type == "LookupError"
    assert other.fingerprint != recursions[0].fingerprint
    assert len(other.fingerprint) == 32


def test_a_deep_recursion_is_kept_in_part(store: Store) -> None:
    def even(n: int) -> int:
        return odd(n)

    def odd(n: int) -> int:
        return even(n)

    with report_exceptions(reraise=False):
        even(1)
    row = only(store)
    assert row.exception_type == "RecursionError"
    assert len(row.detail["exception"]["stack"]) < 33_000


def test_an_exception_that_cant_be_printed_is_reported(store: Store) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    with report_exceptions(reraise=False):
        raise Mute
    row = only(store)
    assert row.exception_type.endswith("Mute")
    assert row.message.endswith("Mute")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("test.business")
    logger.setLevel(logging.DEBUG)
    handler = GatewayExceptionHandler(logging.WARNING, service="sim")
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


def test_log_records_become_events(store: Store, logger: logging.Logger) -> None:
    logger.info("not reported")
    logger.warning("queue is %d%% full", 93)
    logger.warning("queue is %d%% full", 95)
    logger.critical("down")
    try:
        _fail()
    except LookupError:
        logger.exception("job %s failed", 7)
    rows = events(store)
    assert [(row.level, row.message) for row in rows] == [
        ("warning", "queue is 93% full"),
        ("warning", "queue is 95% full"),
        ("critical", "down"),
        ("error", "job 7 failed"),
    ]
    assert rows[0].fingerprint == rows[1].fingerprint != rows[2].fingerprint
    assert rows[0].detail["logger"] == "test.business"
    assert rows[3].exception_type == "LookupError"
    assert {row.service for row in rows} == {"sim"}


def test_a_log_call_with_wrong_arguments_is_an_event_too(
    store: Store, logger: logging.Logger
) -> None:
    # other handlers of the test run would raise for it
    logger.propagate = False
    logger.error("%d jobs", "many")
    logger.propagate = True
    assert only(store).message == "%d jobs"


def test_what_is_logged_while_reporting_is_not_reported(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERDB_URL", f"sqlite:///{tmp_path}/none.sqlite")
    root = logging.getLogger()
    handler = GatewayExceptionHandler(logging.DEBUG)
    monkeypatch.setattr(root, "level", logging.DEBUG)
    root.addHandler(handler)
    try:
        report_gateway_exception("only this")
    finally:
        root.removeHandler(handler)
    lines = [
        json.loads(line)
        for path in (tmp_path / "spool").iterdir()
        for line in path.read_text().splitlines()
    ]
    assert [line["message"] for line in lines] == ["only this"]


def test_many_threads_report_at_once(store: Store) -> None:
    def work(number: int) -> None:
        for item in range(20):
            report_gateway_exception("m", event_id=f"{number}-{item}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events(store)) == 160
