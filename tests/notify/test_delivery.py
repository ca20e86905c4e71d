"""Delivery to hooks that answer well, badly, late, or not at all."""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
import time
from datetime import timedelta
from email.utils import format_datetime

import pytest
from monitoring.notify import Receiver, deliver, notify, send_alert
from monitoring.notify.reconcile import reconcile
from monitoring.notify.sending import LEASE_MARGIN, retry_delay
from sqlalchemy import update

from tests.notify import hooks
from tests.notify.episodes import (
    NOW,
    add_policy,
    attempts,
    deliveries,
    minutes,
    put_alert,
)
from tests.notify.hooks import answer, answers, listening, unused_port
from userdb.models import Delivery
from userdb.store import open_store


def fire(store, services=("sim",)):
    add_policy(store)
    for service in services:
        put_alert(store, service, service=service)


def test_a_message_that_is_taken_is_sent(store):
    fire(store)
    with listening() as hook:
        report = notify(store, now=NOW, receivers=[Receiver("ops", hook.url)])
    assert (report.receivers, report.decided, report.sent, report.pending) == (1, 1, 1, 0)
    assert report.errors == {}
    (row,), (attempt,) = deliveries(store), attempts(store)
    assert (row.status, row.attempts, row.claimed_by) == ("sent", 1, None)
    assert row.finished_at >= NOW
    assert hook.keys == [row.id]
    assert (attempt.outcome, attempt.http_status, attempt.response) == ("sent", 200, "thanks")
    assert (attempt.delivery_id, attempt.number) == (row.id, 1)
    assert 0 < attempt.duration_s < 5
    assert NOW <= attempt.started_at < NOW + minutes(1)


def test_the_signature_can_be_verified_as_documented(sqlite_store):
    fire(sqlite_store)
    with listening() as hook:
        signed = Receiver("ops", hook.url, secret="s3cret", headers={"X-Team": "core"})
        notify(sqlite_store, now=NOW, receivers=[signed])
    got = hook.received[0]
    timestamp = got.headers["X-Monitoring-Timestamp"]
    expected = hmac.new(b"s3cret", timestamp.encode() + b"." + got.body, hashlib.sha256)
    assert got.headers["X-Monitoring-Signature"] == f"sha256={expected.hexdigest()}"
    assert abs(int(timestamp) - NOW.timestamp()) < 60
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["X-Team"] == "core"


def test_without_a_secret_nothing_is_signed_and_the_urls_user_is_sent(sqlite_store):
    fire(sqlite_store)
    with listening() as hook:
        url = hook.url.replace("http://", "http://me:p%40ss@")
        notify(sqlite_store, now=NOW, receivers=[Receiver("ops", url)])
    assert "X-Monitoring-Signature" not in hook.received[0].headers
    assert hook.received[0].headers["Authorization"] == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_a_refusal_is_permanent(sqlite_store, status):
    fire(sqlite_store)
    with listening(answer(status, b"no such hook")) as hook:
        report = notify(sqlite_store, now=NOW, receivers=[Receiver("ops", hook.url)])
    assert (report.dead, report.failed_attempts, report.pending) == (1, 1, 0)
    assert report.errors == {"ops": f"HTTP {status} no such hook"}
    assert deliveries(sqlite_store)[0].status == "dead"
    assert attempts(sqlite_store)[0].outcome == "permanent"
    assert len(hook.received) == 1


@pytest.mark.parametrize("status", [301, 408, 429, 500, 502, 503])
def test_other_answers_are_tried_again_within_the_tasks_time(sqlite_store, status):
    fire(sqlite_store)
    with listening(answers(status, 200)) as hook:
        report = notify(sqlite_store, now=NOW, receivers=[Receiver("ops", hook.url)])
    assert (report.sent, report.failed_attempts, report.errors) == (1, 1, {})
    assert [one.outcome for one in attempts(sqlite_store)] == ["retry", "sent"]
    assert [one.number for one in attempts(sqlite_store)] == [1, 2]
    assert len(set(hook.keys)) == 1, "one key for all tries"
    assert 0.45 < hook.received[1].at - hook.received[0].at < 3


BAD = {
    "garbage": hooks.garbage,
    "never": hooks.never,
    "drip": hooks.drip,
    "close before status": hooks.close_before_status,
    "close within status": hooks.close_within_status,
    "close within the body of a 500": hooks.close_within_body(500),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_a_failed_try_that_ends_in_time(store, name):
    fire(store)
    with listening(BAD[name]) as hook:
        started = time.perf_counter()
        report = notify(
            store,
            now=NOW,
            receivers=[Receiver("ops", hook.url, timeout_s=0.5)],
            deadline_s=0.3,
        )
        assert time.perf_counter() - started < 10
    assert (report.sent, report.failed_attempts, report.pending) == (0, 1, 1)
    (row,), (attempt,) = deliveries(store), attempts(store)
    assert (row.status, row.claimed_until, attempt.outcome) == ("pending", None, "retry")
    assert row.next_attempt_at > NOW
    assert report.errors["ops"]
    if name in ("never", "drip"):
        assert attempt.response == "no answer within 0.5 s"
        assert 0.4 < attempt.duration_s < 8
    # it is well again
    with listening() as hook:
        later = deliver(store, now=NOW + minutes(1), receivers=[Receiver("ops", hook.url)])
    assert (later.sent, later.pending) == (1, 0)
    assert hook.keys == [row.id]


def test_a_status_counts_although_the_body_breaks_off(sqlite_store):
    fire(sqlite_store)
    with listening(hooks.close_within_body(200)) as hook:
        assert notify(sqlite_store, now=NOW, receivers=[Receiver("ops", hook.url)]).sent == 1
    assert len(hook.received) == 1


def test_nobody_listens(store):
    fire(store)
    nobody = Receiver("ops", f"http://127.0.0.1:{unused_port()}/a-rather-long-web-hook-token")
    report = notify(store, now=NOW, receivers=[nobody], deadline_s=0.3)
    assert (report.failed_attempts, report.pending) == (1, 1)
    assert "refused" in report.errors["ops"]
    assert "web-hook-token" not in attempts(store)[0].response


def test_retry_after_is_honoured_and_holds_the_whole_receiver_back(sqlite_store):
    fire(sqlite_store)
    add_policy(sqlite_store, "other")
    put_alert(sqlite_store, "o", policy="other")
    with listening(answers(429, 200, Retry_After="2")) as hook:
        report = notify(sqlite_store, now=NOW, receivers=[Receiver("ops", hook.url)])
    assert (report.sent, report.failed_attempts) == (2, 1)
    assert hook.received[1].at - hook.received[0].at > 1.9


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        ("99999999999999999999", 3600),
        ("soon", 0),
        ("-5", 0),
        ("²", 0),
    ],
)
def test_retry_after_beyond_the_tasks_time_is_left_to_a_later_one(sqlite_store, value, seconds):
    fire(sqlite_store)

    def slow_down(handler, _number):
        handler.send_response(503)
        handler.send_header("Retry-After", value.encode().decode("latin-1"))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with listening(slow_down) as hook:
        notify(sqlite_store, now=NOW, receivers=[Receiver("ops", hook.url)], deadline_s=0.45)
    waits = (deliveries(sqlite_store)[0].next_attempt_at - NOW).total_seconds()
    assert seconds - 1 <= waits <= seconds + 15
    assert len(hook.received) == 1


def test_delays_grow_with_jitter_up_to_five_minutes():
    for attempt in range(1, 2000, 7):
        full = min(2.0 ** min(attempt - 1, 50), 300.0)
        assert full / 2 <= retry_delay(attempt) <= full
    assert len({retry_delay(3) for _ in range(20)}) > 1


def test_a_message_that_can_not_be_delivered_for_long_is_dead(sqlite_store):
    fire(sqlite_store)
    with listening(answer(500)) as hook:
        ops = Receiver("ops", hook.url)
        notify(sqlite_store, now=NOW, receivers=[ops], deadline_s=0.1)
        report = deliver(
            sqlite_store, now=NOW + timedelta(hours=24), receivers=[ops], deadline_s=0.1
        )
    assert report.dead == 1
    assert deliveries(sqlite_store)[0].status == "dead"


def test_later_messages_of_a_group_wait_for_the_earlier_one(store):
    fire(store)
    with listening(answers(500, 500, 200)) as hook:
        ops = Receiver("ops", hook.url)
        reconcile(store, [ops], now=NOW)
        put_alert(store, "sim", service="sim", resolved_at=NOW)
        reconcile(store, [ops], now=NOW)
        first, second = (row.id for row in deliveries(store))
        assert send_alert(store, second, ops, now=NOW) is None
        report = deliver(store, now=NOW, receivers=[ops])
    assert hook.keys == [first, first, first, second]
    assert (report.sent, report.failed_attempts) == (2, 2)


def test_a_group_that_fails_does_not_hold_up_the_receivers_other_groups(sqlite_store):
    fire(sqlite_store)
    add_policy(sqlite_store, "other")
    put_alert(sqlite_store, "o", service="other", policy="other")

    def picky(handler, number):
        failing = handler.hook.received[number].payload["groupLabels"]["alertname"] != "other"
        handler.reply(500 if failing else 200)

    with listening(picky) as hook:
        report = notify(
            sqlite_store, now=NOW, receivers=[Receiver("ops", hook.url)], deadline_s=0.3
        )
    assert (report.sent, report.pending) == (1, 1)


def test_one_receivers_trouble_never_delays_another(store):
    fire(store)
    with (
        listening(hooks.never) as hangs,
        listening(answer(500)) as fails,
        listening(hooks.drip) as drips,
        listening() as well,
    ):
        # named so that the one that is well would come last
        troubled = [
            *(Receiver(f"a-{n}", hangs.url, timeout_s=4) for n in range(20)),
            Receiver("b", fails.url),
            Receiver("c", drips.url, timeout_s=1),
            Receiver("d", f"http://127.0.0.1:{unused_port()}"),
            Receiver("e", "http://127.0.0.1:9", kind="pigeon"),
        ]
        everyone = [*troubled, Receiver("z", well.url)]
        reconcile(store, everyone, now=NOW)
        started = time.monotonic()
        # seconds, for a busy machine takes its time with so many threads
        report = deliver(store, now=NOW, receivers=everyone, deadline_s=3)
        took = time.monotonic() - started
    assert well.received[0].at - started < 3.9  # before any that hangs is given up
    assert took < 12
    assert (report.sent, report.pending) == (1, 24)
    assert "unknown kind 'pigeon'" in report.errors["e"]
    assert "z" not in report.errors


def test_a_channels_own_fault_is_a_failed_try(sqlite_store):
    class Broken:
        def send(self, message):
            raise RuntimeError(f"no luck with {ops.secret}")

        def close(self):
            """Nothing to close."""

    fire(sqlite_store)
    ops = Receiver("ops", "http://127.0.0.1:9", secret="hush")
    reconcile(sqlite_store, [ops], now=NOW)
    done = send_alert(sqlite_store, deliveries(sqlite_store)[0].id, ops, now=NOW, channel=Broken())
    assert done.status == "pending"
    assert done.attempt.response == "RuntimeError: no luck with ***"


def test_send_alert_delivers_one_message_once(store):
    fire(store)
    with listening() as hook:
        ops = Receiver("ops", hook.url)
        reconcile(store, [ops], now=NOW)
        (row,) = deliveries(store)
        assert send_alert(store, row.id, Receiver("other", hook.url), now=NOW) is None
        done = send_alert(store, row.id, ops, now=NOW)
        assert (done.status, done.attempt.http_status) == ("sent", 200)
        assert send_alert(store, row.id, ops, now=NOW) is None
    assert hook.keys == [row.id]


def test_a_claimed_message_is_free_again_when_the_lease_is_over(store):
    fire(store)
    with listening() as hook:
        ops = Receiver("ops", hook.url, timeout_s=10)
        reconcile(store, [ops], now=NOW)
        lease = timedelta(seconds=10) + LEASE_MARGIN
        store.write(
            lambda connection: connection.execute(
                update(Delivery).values(
                    status="sending", claimed_by="dead", claimed_until=NOW + lease
                )
            )
        )
        early = deliver(
            store, now=NOW + lease - timedelta(seconds=5), receivers=[ops], deadline_s=1
        )
        assert (early.sent, early.pending) == (0, 1)
        late = deliver(store, now=NOW + lease + timedelta(seconds=1), receivers=[ops])
        assert (late.sent, late.pending) == (1, 0)


def test_a_worker_that_lost_its_lease_does_not_undo_anothers_work(store):
    """The first try outlives its lease; the second one is taken; then the first fails."""
    fire(store)

    def first_fails_late(handler, number):
        if number == 0:
            time.sleep(1)
            handler.reply(500)
        else:
            handler.reply(200)

    with listening(first_fails_late) as hook:
        ops = Receiver("ops", hook.url)
        reconcile(store, [ops], now=NOW)
        delivery_id = deliveries(store)[0].id
        slow = threading.Thread(
            target=send_alert, args=(store, delivery_id, ops), kwargs={"now": NOW}
        )
        slow.start()
        while not hook.received:
            time.sleep(0.01)
        done = send_alert(store, delivery_id, ops, now=NOW + minutes(5))
        slow.join()
    assert done.status == "sent"
    assert deliveries(store)[0].status == "sent"
    assert sorted(one.outcome for one in attempts(store)) == ["retry", "sent"]


def test_workers_at_the_same_time_never_send_a_message_twice(store):
    names = [f"policy-{number}" for number in range(6)]
    for name in names:
        add_policy(store, name)
    with listening() as hook:
        ops = Receiver("ops", hook.url)
        for step in range(4):
            for name in names:
                put_alert(
                    store,
                    f"{name}-{step // 2}",
                    policy=name,
                    fired_at=NOW + minutes(step // 2),
                    resolved_at=NOW + minutes(step // 2) if step % 2 else None,
                )
            reconcile(store, [ops], now=NOW)
        expected = deliveries(store)
        assert len(expected) == 24
        others = [open_store(store.url.url.render_as_string(hide_password=False)) for _ in range(3)]
        reports = []
        threads = [
            threading.Thread(
                target=lambda one=one: reports.append(deliver(one, now=NOW, receivers=[ops]))
            )
            for one in others
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in others:
            one.close()
    assert sum(report.sent for report in reports) == 24
    assert sorted(hook.keys) == sorted(row.id for row in expected)
    for name in names:
        group = f'{{}}:{{alertname="{name}"}}'
        in_order = [row.id for row in expected if row.group_key == group]
        assert [key for key in hook.keys if key in in_order] == in_order


def test_no_secret_is_recorded_shown_or_logged(sqlite_store, caplog):
    caplog.set_level(logging.DEBUG, logger="monitoring")
    fire(sqlite_store)
    secrets = ["hunter22", "qs-token-1", "T0KEN-IN-THE-PATH-42", "sign-key-9", "bearer-77"]

    def echo(handler, number):
        got = handler.hook.received[number]
        text = f"{handler.path} {got.headers} sign-key-9 hunter22"
        handler.reply(500, text.encode())

    with listening(echo) as hook:
        base = hook.url.replace("http://", "http://me:hunter22@")
        secret_part = "T0KEN-IN-THE-PATH-42?token=qs-token-1"
        bad = Receiver(
            "ops",
            f"{base}/{secret_part}",
            secret="sign-key-9",
            headers={"X-Authorization": "Bearer bearer-77"},
        )
        down = Receiver("down", f"http://me:hunter22@127.0.0.1:{unused_port()}/{secret_part}")
        report = notify(sqlite_store, now=NOW, receivers=[bad, down], deadline_s=0.45)
    seen = [repr(bad), repr(down), str(report), caplog.text]
    seen += [str(row) for row in (*attempts(sqlite_store), *deliveries(sqlite_store))]
    assert len(attempts(sqlite_store)) == 2
    for text in seen:
        for secret in secrets:
            assert secret not in text
    assert repr(bad) == f"Receiver('ops', webhook, http://127.0.0.1:{hook.port}/…)"


def test_progress_is_told_and_connections_are_kept(sqlite_store):
    for number in range(10):
        add_policy(sqlite_store, f"p{number}")
        put_alert(sqlite_store, f"a{number}", policy=f"p{number}")
    lines, ports = [], set()

    def note(handler, _number):
        ports.add(handler.client_address)
        handler.reply(200, b"x" * 100)

    with listening(note) as hook:
        notify(
            sqlite_store, now=NOW, receivers=[Receiver("ops", hook.url)], on_progress=lines.append
        )
    assert lines == ["ops: sent (HTTP 200)"] * 10
    assert len(ports) == 1


def test_without_receivers_nothing_is_done_and_nothing_lost(store, monkeypatch):
    for name in ("MONITORING_RECEIVERS", "MONITORING_WEBHOOK_URL"):
        monkeypatch.delenv(name, raising=False)
    fire(store)
    report = notify(store, now=NOW)
    assert report.message.startswith("no receivers")
    assert report.as_dict()["receivers"] == 0
    assert deliveries(store) == []
    with listening() as hook:
        monkeypatch.setenv("MONITORING_WEBHOOK_URL", hook.url)
        assert notify(store, now=NOW + minutes(5)).sent == 1
    assert hook.received[0].names == [("sim", "firing")]
