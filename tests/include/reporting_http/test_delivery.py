"""Events over HTTP: delivered once, in order, whatever the server does."""

from __future__ import annotations

import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from include.gateway_client import report_exceptions
from include.reporting import SpoolTransport, TransportError, flush_events, report_event
from include.reporting.spool import used_bytes
from tests.include.conftest import event, numbered, spooled
from tests.servers.events_api import KEY


def test_an_event_arrives_as_it_was_reported(api, environment):
    at = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    with report_exceptions(service="sim", reraise=False, detail={"名": ["🚨", 1.5, None]}):
        raise LookupError("no such model " + "x" * 2000)
    report_event("container", "test", "m", level="critical", container="c", occurred_at=at)
    assert flush_events(10)
    first, second = api.events()
    assert (first["service"], first["level"]) == ("sim", "error")
    assert first["exception_type"] == "LookupError"
    assert len(first["fingerprint"]) == 32
    assert first["detail"]["名"] == ["🚨", 1.5, None]
    assert "in test_an_event_arrives" in first["detail"]["exception"]["stack"]
    assert second["occurred_at"] == "2026-03-01T12:00:00.123456+00:00"
    assert (second["event_type"], second["container"]) == ("container", "c")
    assert datetime.fromisoformat(second["created_at"]) > at


def test_large_batches_are_compressed_and_small_ones_are_not(api, connect):
    transport = connect()
    transport.send([event("small")])
    assert transport.flush(10)
    transport.send([event(str(number), message="x" * 100) for number in range(50)])
    assert transport.flush(10)
    encodings = [one["headers"].get("Content-Encoding") for one in api.requests()]
    assert encodings == [None, "gzip"]


def test_batches_hold_no_more_than_the_contract_allows(api, connect):
    transport = connect(batch_events=40)
    transport.send([event(f"s{number}") for number in range(100)])
    transport.send([event(f"l{number}", message="名" * 60_000) for number in range(20)])
    assert transport.flush(20)
    assert len(api.events()) == 120
    assert {one["status"] for one in api.requests()} == {200}
    assert max(one["events"] for one in api.requests()) <= 40


@pytest.mark.parametrize("how", ["away", "failing", "hanging"])
def test_what_a_server_missed_arrives_in_order_when_it_is_back(api, connect, spool, how):
    transport = connect(timeout_s=0.5)
    transport.send([event("0")])
    assert transport.flush(10)
    if how == "away":
        api.kill()
    else:
        api.behave(**({"status": 503} if how == "failing" else {"hang_s": 30}))
    began = time.perf_counter()
    for number in range(1, 1000):
        transport.send([event(str(number))])
        if number == 500:
            time.sleep(0.3)
    assert time.perf_counter() - began < 3
    assert not transport.flush(2)
    assert spooled(spool) == numbered(1, 1000)
    if how == "away":
        api.start()
    else:
        api.behave()
    api.wait_for(1000)
    assert api.ids() == numbered(0, 1000)
    assert transport.flush(10)
    assert list(spool.iterdir()) == []
    assert transport.counts.stored == 1000


@pytest.mark.parametrize("when", ["die_before", "die_after"])
def test_a_server_killed_in_the_middle_of_a_batch_has_each_event_once(api, connect, when):
    transport = connect()
    api.behave(**{when: True})
    for number in range(300):
        transport.send([event(str(number))])
    api.wait_dead()
    api.behave()
    api.start()
    api.wait_for(300)
    assert transport.flush(10)
    assert api.ids() == numbered(0, 300)
    assert (transport.counts.repeated > 0) == (when == "die_after")


def test_what_was_delivered_before_a_failure_is_not_sent_again(api, connect, spool):
    SpoolTransport(spool).send([event(str(number)) for number in range(300)])
    api.behave(hang_s=0.01)
    transport = connect(batch_events=10)
    transport.start()
    while len(api.ids()) < 100:
        time.sleep(0.001)
    api.kill()
    assert len(api.ids()) < 300
    api.start()
    api.wait_for(300)
    assert transport.flush(10)
    assert transport.counts.repeated <= 10  # the batch whose answer was lost


@pytest.mark.parametrize(("status", "date"), [(429, False), (503, True)])
def test_a_server_that_asks_for_time_is_given_it(api, connect, status, date):
    wait_s = 2
    asked = str(wait_s)
    if date:  # whole seconds, rounded down: between 1 and 2 from now
        asked = format_datetime(datetime.now(UTC) + timedelta(seconds=wait_s), usegmt=True)
    api.behave(status=status, headers=[("Retry-After", asked)])
    transport = connect()
    transport.send([event("a")])
    first = api.wait_for_requests(1)[0]
    time.sleep(0.1)
    api.behave()
    # the end of a process doesn't hurry it either
    assert not transport.flush(0.5)
    api.wait_for(1)
    second = api.wait_for_requests(2)[1]
    assert second["time"] - first["time"] >= (0.9 if date else wait_s)
    assert second["time"] - first["time"] < wait_s + 1.5


def test_rejected_events_are_kept_aside_and_told_once(api, connect, spool, caplog):
    transport = connect()
    messages = ["a", "refuse me", "b", "refuse me", "c"]
    transport.send([event(str(at), message=text) for at, text in enumerate(messages)])
    assert transport.flush(10)
    transport.send([event("5", message="refuse me whole")])
    assert transport.flush(10)
    assert api.ids() == ["0", "2", "4"]
    (kept,) = spool.glob("*.rejected")
    assert [json.loads(line)["event_id"] for line in kept.open()] == ["1", "3", "5"]
    assert transport.counts.rejected == 3
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 2
    assert "message: is refused" in told[0].getMessage()
    assert told[1].getMessage().endswith(": is refused whole")
    requests = len(api.requests())
    assert transport.flush(10)
    assert [one["events"] for one in api.requests()[requests:]] == []


def test_a_batch_that_is_too_large_for_the_server_is_halved(api, connect):
    api.behave(max_events=3)
    transport = connect()
    transport.send([event(str(number)) for number in range(20)])
    assert transport.flush(10)
    assert api.ids() == numbered(0, 20)


def test_an_event_that_makes_its_batch_unreadable_is_kept_aside(api, connect, spool):
    api.behave(max_events=0)
    transport = connect()
    transport.send([event("a"), event("b")])
    assert transport.flush(10)
    assert transport.counts.rejected == 2
    assert len(next(iter(spool.glob("*.rejected"))).read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ({"status": 401}, "MONITORING_API_KEY is missing, unknown, expired or revoked"),
        ({"status": 403}, "no scope events:write"),
        ({"status": 404}, "not the base address"),
        ({"status": 302, "headers": [("Location", "/api/v1/events")]}, "a redirect"),
        ({"status": 422, "headers": [("Content-Type", "text/html")]}, "answered 422"),
        ({"body": "<html>sign in to the network</html>"}, "not that of the API"),
        ({"body": '{"stored": 0, "repeated": 0, "rejected": []}'}, "not that of the API"),
        ({"body": '{"stored": 0, "repeated": 0, "rejected": [{"index": 7, "field": "", '
                  '"message": ""}]}'}, "not that of the API"),
        ({"body": "x" * 600_000}, "longer than"),
        ({"trickle": True}, "no whole answer in time"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_of_the_apis_loses_nothing(
    api, connect, spool, caplog, behaviour, why
):
    api.behave(**behaviour)
    transport = connect(timeout_s=0.5 if "trickle" in behaviour else 5)
    transport.send([event("a")])
    assert not transport.flush(5)
    assert why in caplog.text
    assert KEY not in caplog.text
    assert spooled(spool) == ["a"]
    api.behave()
    api.wait_for(1)
    assert api.ids() == ["a"]


def test_what_an_earlier_process_left_is_delivered(api, connect, spool):
    spool.mkdir()
    line = SpoolTransport(spool).path
    SpoolTransport(spool).send([event("0"), event("1")])
    line().rename(spool / "other-host-77-20260301.jsonl")
    SpoolTransport(spool).send([event("2")])
    line().rename(spool / "other-host-77-20260302.jsonl.0123456789abcdef.claimed")
    with (spool / "other-host-78-20260302.jsonl").open("w") as file:
        file.write('{"event_id": "torn')
    transport = connect()
    transport.start()
    api.wait_for(3)
    assert transport.flush(10)
    assert api.ids() == ["0", "1", "2"]
    (left,) = spool.iterdir()
    assert left.read_text() == '{"event_id": "torn'
    assert left.suffix == ".rejected"


def test_where_nothing_can_be_spooled_events_go_from_memory(api, connect, tmp_path, caplog):
    (tmp_path / "file").touch()
    transport = connect(spool=tmp_path / "file" / "spool", batch_events=10)
    for number in range(100):
        transport.send([event(str(number))])
    api.wait_for(100)
    assert "events wait in memory" in caplog.text
    api.kill()
    transport.send([event("100")])
    time.sleep(0.5)
    api.start()
    api.wait_for(101)
    assert api.ids() == numbered(0, 101)


def test_an_event_that_can_be_kept_nowhere_is_logged_in_full(api, connect, tmp_path, caplog):
    (tmp_path / "file").touch()
    api.kill()
    transport = connect(spool=tmp_path / "file" / "spool", queue_size=5, flush_s=0.2)
    refused = 0
    for number in range(20):
        try:
            transport.send([event(str(number))])
        except TransportError:
            refused += 1
        time.sleep(0.01)
    assert refused > 0
    transport.close()
    assert caplog.text.count("kept nowhere but here") == 20 - refused


def test_a_spool_grows_to_its_limit_and_no_further(api, connect, spool):
    api.kill()
    limit = 1024 * 1024
    transport = connect(spool_bytes=limit, queue_size=100)
    refused = 0
    for number in range(300):
        try:
            transport.send([event(str(number), message="x" * 10_000)])
        except TransportError:
            refused += 1
        time.sleep(0.001)
    assert refused > 0
    assert 0.5 * limit < used_bytes(spool) <= limit
    api.start()
    api.wait_for(300 - refused)


def test_a_queue_that_is_full_sends_callers_to_the_spool(api, connect):
    transport = connect(queue_size=1)
    for number in range(500):
        transport.send([event(str(number))])
    api.wait_for(500)
    assert transport.flush(10)
    assert transport.counts.spooled < 500  # by the background thread; the others by the caller
    assert sorted(api.ids()) == sorted(numbered(0, 500))


def test_many_threads_report_at_once(api, connect):
    transport = connect()

    def work(number: int) -> None:
        for item in range(100):
            transport.send([event(f"{number}-{item}")])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert transport.flush(20)
    ids = api.ids()
    assert len(ids) == 800
    for number in range(8):
        mine = [one for one in ids if one.startswith(f"{number}-")]
        assert mine == [f"{number}-{item}" for item in range(100)]
