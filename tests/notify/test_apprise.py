"""Apprise over real servers: mail, and web hooks in JSON and as forms."""

from __future__ import annotations

import logging
import time
from urllib.parse import parse_qs

import pytest
from monitoring.notify import Receiver, notify
from monitoring.notify.channels import open_channel

from tests.notify import hooks
from tests.notify.episodes import NOW, add_policy, attempts, deliveries, put_alert
from tests.notify.hooks import answer, listening, unused_port
from tests.notify.messages import alert, message_of
from tests.servers.smtp import run_smtp
from userdb.errors import ConfigError, DeliveryError

TOKEN = "T0KEN-IN-THE-PATH"


def send(url, message=None, **fields):
    channel = open_channel(Receiver("chat", url, kind="apprise", **{"timeout_s": 5, **fields}))
    try:
        return channel.send(message or message_of())
    finally:
        channel.close()


def mail_url(mailbox, password=None):
    return (
        f"mailto://{mailbox.login}:{password or mailbox.password}@127.0.0.1:{mailbox.port}"
        "?from=robot@example.com&to=ops@example.com&mode=insecure"
    )


def test_a_mail_has_a_readable_subject_and_body():
    with run_smtp() as mailbox:
        send(mail_url(mailbox), callback_secret="key-of-tokens")
    (mail,) = mailbox.mails
    assert mail["Subject"] == ("[FIRING] critical timeouts: half of the requests time out")
    assert mail["To"] == "ops@example.com"
    text = mail.get_body(("plain",)).get_content()
    assert "Where: service sim" in text
    assert "50.0%; condition: requests.timeout_ratio > 0.05" in text
    assert "/monitoring/alerts/ack?token=" in text


def test_a_chinese_mail_arrives_as_it_was_written():
    with run_smtp() as mailbox:
        send(mail_url(mailbox), language="zh", options={"format": "html"})
    (mail,) = mailbox.mails
    assert mail["Subject"].startswith("[告警] 严重 timeouts：half of")
    page = mail.get_body(("html",)).get_content()
    assert "<b>位置</b>：服务 sim" in page


def test_a_json_hook_gets_subject_body_and_severity():
    with listening() as hook:
        url = f"json://127.0.0.1:{hook.port}/{TOKEN}"
        send(url)
        send(url, message_of(alert(resolved_at=NOW)))
    firing, resolved = (one.payload for one in hook.received)
    assert firing["title"].startswith("[FIRING] critical timeouts")
    assert "Since: 2026-03-01 11:58 UTC" in firing["message"]
    assert (firing["type"], resolved["type"]) == ("failure", "success")
    assert resolved["title"].startswith("[RESOLVED]")


def test_a_form_hook_gets_the_markdown_that_was_asked_for():
    with listening() as hook:
        send(f"form://127.0.0.1:{hook.port}/x", options={"format": "markdown"})
    got = parse_qs(hook.received[0].body.decode())
    assert got["title"][0].startswith("[FIRING]")
    assert "- Where: service sim" in got["message"][0]


@pytest.mark.parametrize(
    ("status", "permanent"), [(400, True), (404, True), (408, False), (429, False), (503, False)]
)
def test_a_refusal_is_permanent_or_not_as_for_a_web_hook(status, permanent):
    with listening(answer(status, b"no such room")) as hook, pytest.raises(DeliveryError) as caught:
        send(f"json://127.0.0.1:{hook.port}/x")
    assert (caught.value.http_status, caught.value.permanent) == (status, permanent)
    assert "no such room" in str(caught.value)


def test_why_a_connection_failed_is_told():
    with pytest.raises(DeliveryError, match="refused") as caught:
        send(f"json://127.0.0.1:{unused_port()}/x")
    assert not caught.value.permanent


def test_what_hangs_is_given_up_in_time_and_not_begun_twice():
    with listening(hooks.never) as hook:
        url = f"json://127.0.0.1:{hook.port}/x"
        channel = open_channel(Receiver("chat", url, kind="apprise", timeout_s=0.5))
        channel._service.socket_read_timeout = 20  # a service that has no limit of its own
        started = time.perf_counter()
        with pytest.raises(DeliveryError, match=r"no answer within 0\.5 s"):
            channel.send(message_of())
        assert 0.4 < time.perf_counter() - started < 3
        with pytest.raises(DeliveryError, match="has not ended yet"):
            channel.send(message_of())
    assert len(hook.received) == 1


def test_no_secret_of_the_url_is_recorded_shown_or_logged(sqlite_store, caplog):
    caplog.set_level(logging.DEBUG, logger="monitoring")
    add_policy(sqlite_store)
    put_alert(sqlite_store, "sim")

    def echo(handler, number):
        handler.reply(500, f"{handler.path} {handler.hook.received[number].headers}".encode())

    with listening(echo) as hook, run_smtp() as mailbox:
        url = f"json://me:hunter22-pass@127.0.0.1:{hook.port}/{TOKEN}?-X-Key=header-key-9"
        receivers = [
            Receiver("chat", url, kind="apprise"),
            Receiver("mail", mail_url(mailbox, "wrong-pass-77"), kind="apprise"),
        ]
        for one in receivers:
            open_channel(one)  # importing Apprise takes its time
        report = notify(sqlite_store, now=NOW, receivers=receivers, deadline_s=2)
    assert mailbox.mails == []
    rows = attempts(sqlite_store)
    assert {one.outcome for one in rows} == {"retry"}
    assert any("***" in one.response for one in rows)
    seen = [repr(receivers), str(report), caplog.text]
    seen += [str(row) for row in (*rows, *deliveries(sqlite_store))]
    for text in seen:
        for secret in ("hunter22-pass", TOKEN, "header-key-9", "wrong-pass-77"):
            assert secret not in text


@pytest.mark.parametrize(
    "url", ["", "nosuch://secret-token-1/x", "tgram://secret-token-1", "secret-token-1"]
)
def test_a_url_that_apprise_does_not_know_is_an_error_that_does_not_repeat_it(url, caplog):
    with pytest.raises(ConfigError, match="no URL that Apprise knows") as caught:
        open_channel(Receiver("chat", url, kind="apprise"))
    assert "secret-token-1" not in str(caught.value) + caplog.text


def test_apprises_log_stays_as_it_was_for_others(caplog):
    with listening() as hook:
        send(f"json://127.0.0.1:{hook.port}/x")
    assert [one for one in caplog.records if one.name == "apprise"] == []
    logging.getLogger("apprise").warning("of somebody else")
    logging.getLogger("apprise").debug("of their inner life")
    assert [one.getMessage() for one in caplog.records if one.name == "apprise"] == [
        "of somebody else"
    ]


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("tgram://123456:ABC-def/4711", "ABC-def"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "T1JJ3T3L2"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "4174216298"),
        ("dingtalk://secret-part@token-part", "secret-part"),
    ],
)
def test_tokens_in_place_of_host_and_user_are_secrets(url, hidden):
    receiver = Receiver("chat", url, kind="apprise")
    assert hidden not in receiver.redact(f"failed to reach {hidden} of {url}")
    assert hidden not in repr(receiver)
