"""``monitoring receiver`` and ``monitoring deliveries``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from monitoring.notify import Receiver, Routing, deliver, notify
from monitoring.notify import outbox as outboxes
from monitoring.notify.deliveries import list_deliveries
from sqlalchemy import update

from tests.monitoring.test_cli import Shell
from tests.notify.episodes import (
    NOW,
    POLICY,
    add_policy,
    attempts,
    deliveries,
    minutes,
    put_alert,
)
from tests.notify.hooks import answer, listening
from userdb.models import Delivery
from userdb.store import open_store

_ROUTING = """
receivers:
  - {name: console, kind: log, language: zh}
  - {name: ops, url_env: OPS_URL, secret_env: OPS_KEY}
  - {name: broken, kind: pigeon}
"""


@pytest.fixture
def monitoring(tmp_path, monkeypatch, capsys):
    for name in ("MONITORING_RECEIVERS", "MONITORING_WEBHOOK_URL", "MONITORING_EXTERNAL_URL"):
        monkeypatch.delenv(name, raising=False)
    shell = Shell(tmp_path, monkeypatch, capsys)
    (tmp_path / "policies" / "routing.yaml").write_text(_ROUTING)
    monkeypatch.setenv("OPS_KEY", "sign-key-1")
    monkeypatch.setenv("OPS_URL", "http://127.0.0.1:9/T0KEN-IN-THE-PATH-42")
    return shell


def test_list_shows_addresses_without_secrets_and_what_is_wrong(monitoring):
    monitoring("receiver", "list", fails=True)  # one of them is broken
    (monitoring.folder / "policies" / "routing.yaml").write_text(
        _ROUTING.replace("  - {name: broken, kind: pigeon}\n", "")
    )
    rows = json.loads(monitoring("receiver", "list", "--format", "json"))
    assert [(one["name"], one["kind"], one["address"]) for one in rows] == [
        ("console", "log", "-"),
        ("ops", "webhook", "http://127.0.0.1:9/…"),
    ]
    table = monitoring("receiver", "list")
    assert "usable" in table
    assert "T0KEN" not in table


def test_test_sends_a_signed_sample_and_its_end_and_shows_the_answers(monitoring):
    with listening(answer(200, b"thanks, sign-key-1")) as hook:
        out = monitoring("receiver", "test", "ops", OPS_URL=hook.url)
    assert [one.payload["status"] for one in hook.received] == ["firing", "resolved"]
    assert all("X-Monitoring-Signature" in one.headers for one in hook.received)
    assert out.count("ops firing: ok, HTTP 200") == 1
    assert out.count("thanks, ***") == 2


def test_test_of_a_receiver_that_refuses_fails_and_shows_why(monitoring, capsys):
    with listening(answer(403, b"not you")) as hook:
        monitoring("receiver", "test", "ops", fails=True, OPS_URL=hook.url)
    assert len(hook.received) == 1


def test_test_of_kind_log_shows_the_text(monitoring, caplog):
    out = monitoring("receiver", "test", "console")
    assert "console resolved: ok" in out


@pytest.mark.parametrize(
    ("name", "says"),
    [("absent", "there are: console, ops"), ("broken", "unknown kind 'pigeon'")],
)
def test_test_of_a_receiver_that_is_not_usable_says_why(monitoring, name, says):
    assert says in monitoring("receiver", "test", name, fails=True)


# --- deliveries -----------------------------------------------------------------------------------


@pytest.fixture
def outbox(monitoring):
    """A userdb with a dead letter to ops, whose message was refused."""
    monitoring("db", "upgrade")
    store = open_store(f"sqlite:///{monitoring.folder / 'var' / 'userdb.sqlite'}")
    add_policy(store)
    put_alert(store, "sim")
    with listening(answer(410, b"no such hook")) as hook:
        notify(store, now=NOW, receivers=[Receiver("ops", hook.url)])
    yield store
    store.close()


def test_dead_letters_are_listed_and_shown_with_every_try(monitoring, outbox):
    (row,) = json.loads(
        monitoring(
            "deliveries", "list", "--status", "dead", "--receiver", "ops", "--format", "json"
        )
    )
    assert (row["receiver"], row["status"], row["attempts"]) == ("ops", "dead", 1)
    assert (row["alerts"], row["last"], row["overtaken"]) == (1, "no such hook", False)
    assert (
        json.loads(monitoring("deliveries", "list", "--status", "sent", "--format", "json")) == []
    )
    assert "no such hook" in monitoring("deliveries", "list")
    shown = json.loads(monitoring("deliveries", "show", row["id"], "--format", "json"))
    assert [(one["outcome"], one["http_status"]) for one in shown["attempts"]] == [
        ("permanent", 410)
    ]
    assert shown["payload"]["alerts"][0]["labels"]["service"] == "sim"
    table = monitoring("deliveries", "show", row["id"])
    assert "permanent" in table
    assert "service=sim" in table


def test_a_dead_letter_is_sent_again_with_the_same_key(monitoring, outbox):
    (row,) = deliveries(outbox)
    with listening() as hook:
        out = monitoring("deliveries", "resend", row.id, OPS_URL=hook.url)
    assert hook.keys == [row.id]
    assert hook.received[0].payload == row.payload
    assert "ok, sent: HTTP 200 thanks" in out
    assert deliveries(outbox)[0].status == "sent"
    assert [(one.number, one.outcome) for one in attempts(outbox)] == [
        (1, "permanent"),
        (2, "sent"),
    ]
    assert "only dead ones" in monitoring("deliveries", "resend", row.id, fails=True)


def test_one_that_fails_again_is_tried_like_a_new_message(monitoring, outbox):
    long_ago = datetime.now(UTC) - timedelta(days=30)
    outbox.write(
        lambda connection: connection.execute(update(Delivery).values(created_at=long_ago))
    )
    with listening(answer(503)) as hook:
        monitoring("deliveries", "resend", "--all-dead", fails=True, OPS_URL=hook.url)
    (again,) = deliveries(outbox)
    assert again.status == "pending"
    assert again.next_attempt_at > datetime.now(UTC) - timedelta(seconds=30)
    with listening(answer(503)) as hook:
        report = deliver(
            outbox,
            now=again.resent_at + timedelta(hours=25),
            receivers=[Receiver("ops", hook.url)],
            deadline_s=0.5,
        )
    assert report.dead == 1


def test_all_dead_leaves_out_what_a_later_message_overtook(monitoring, outbox):
    (first,) = deliveries(outbox)
    put_alert(outbox, "two", service="two")
    with listening() as hook:
        ops = Receiver("ops", hook.url)
        notify(outbox, now=NOW + minutes(1), receivers=[ops], routing=Routing())
    assert len(hook.received) == 1
    with listening() as hook:
        out = monitoring("deliveries", "resend", "--all-dead", OPS_URL=hook.url)
        assert hook.received == []
        assert f"monitoring deliveries resend {first.id}" in out
        assert "(overtaken)" in monitoring("deliveries", "list", "--status", "dead")
        monitoring("deliveries", "resend", first.id, OPS_URL=hook.url)
    assert hook.keys == [first.id]


def test_a_dead_letter_of_a_receiver_that_is_gone_stays_dead(monitoring, outbox):
    (monitoring.folder / "policies" / "routing.yaml").unlink()
    monitoring("deliveries", "resend", "--all-dead", fails=True)
    assert deliveries(outbox)[0].status == "dead"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "nothing"], "no delivery nothing"),
        (["resend", "nothing"], "no delivery nothing"),
        (["resend"], "either ids or --all-dead"),
        (["resend", "x", "--all-dead"], "either ids or --all-dead"),
        (["list", "--status", "lost"], "'lost' is not a status"),
    ],
)
def test_bad_input_says_what_to_do(monitoring, outbox, arguments, says):
    told = monitoring("deliveries", *arguments, fails=True)
    assert says in " ".join(told.replace("│", " ").split())


def test_resending_on_both_databases_brings_back_dead_ones_alone(store):
    add_policy(store)
    add_policy(store, "other")
    put_alert(store, "sim")
    put_alert(store, "o", policy="other")

    def one_dies(handler, number):
        labels = handler.hook.received[number].payload["groupLabels"]
        handler.reply(410 if labels["alertname"] == POLICY else 200)

    with listening(one_dies) as hook:
        notify(store, now=NOW, receivers=[Receiver("ops", hook.url)])
    later = NOW + timedelta(days=2)
    with store.read() as connection:
        rows = {one.status: one for one in list_deliveries(connection)}
    assert store.write(lambda c: outboxes.resend(c, rows["dead"].id, now=later))
    assert not store.write(lambda c: outboxes.resend(c, rows["sent"].id, now=later))
    with store.read() as connection:
        (back,) = list_deliveries(connection, ids=[rows["dead"].id])
    assert (back.status, back.next_attempt_at, back.resent_at) == ("pending", later, later)
    with listening() as hook:
        report = deliver(store, now=later, receivers=[Receiver("ops", hook.url)])
    assert (report.sent, hook.keys) == (1, [rows["dead"].id])
