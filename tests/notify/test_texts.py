"""What people read: subject and body, in both languages, plain, as Markdown and as HTML."""

from __future__ import annotations

import dataclasses
import html
import re
from datetime import timedelta
from string import Formatter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown import markdown
from monitoring.notify import Receiver
from monitoring.notify.channels import open_channel
from monitoring.notify.context import AlertContext
from monitoring.notify.evidence import ContainerFound, EventsFound, RequestFound, RouteFound
from monitoring.notify.payload import resolved_alert
from monitoring.notify.phrases import PHRASES
from monitoring.notify.sample import sample_messages
from monitoring.notify.texts import render, value_text

from tests.notify.episodes import NOW, minutes
from tests.notify.messages import EPISODE, URL, alert, message_of

EVIDENCE = (
    EventsFound(count=12, level="error", exception_type="ValueError", message="mesh is empty"),
    RouteFound(
        service="sim",
        route="/runs/{id}",
        instance=None,
        requests=240,
        failed={"timeout": 120},
        mean_ms=812.4,
        max_ms=30000.0,
    ),
    RequestFound(
        at=NOW - timedelta(seconds=2),
        method="GET",
        path="/runs/7",
        status=504,
        outcome="timeout",
        reason="status=504",
        duration_ms=30000.2,
        request_id="c0ffee",
        instance="10.0.0.7:80",
    ),
    RequestFound(
        at=NOW - timedelta(seconds=3),
        method=None,
        path=None,
        status=None,
        outcome="client_error",
        reason="state=CR",
        duration_ms=None,
        request_id=None,
        instance=None,
    ),
    ContainerFound(
        container="sim-1",
        state="exited",
        health=None,
        exit_code=137,
        oom_killed=True,
        restarts=2,
        finished_at=NOW,
        reason="OOMKilled",
        exits=3,
        oom_kills=2,
    ),
)
CONTEXT = AlertContext(
    episode=EPISODE,
    since=NOW - minutes(2),
    value=0.5,
    unit="share",
    condition="requests.timeout_ratio > 0.05, window 5m",
    evidence=EVIDENCE,
)
ONE = alert(
    route="/runs/{id}",
    instance="1",
    container="sim-1",
    team="core",
    annotations={
        "summary": "half of the requests time out",
        "description": "since the deployment",
        "runbook": "https://wiki.example/timeouts",
    },
)


def text(message, language="en", **fields):
    receiver = Receiver("ops", kind="log", language=language, callback_secret="key-1", **fields)
    return render(receiver, message)


def test_a_firing_message_says_what_where_since_when_value_evidence_and_links():
    made = text(message_of(ONE, context=CONTEXT))
    token = made.secrets[0]
    assert made.subject == "[FIRING] critical timeouts: half of the requests time out"
    assert (
        made.plain
        == f"""\
[FIRING] critical timeouts: half of the requests time out
  since the deployment
  Policy: timeouts
  Where: service sim, route /runs/{{id}}, instance 1, container sim-1
  Labels: team=core
  Since: 2026-03-01 11:58 UTC
  Value: 50.0%; condition: requests.timeout_ratio > 0.05, window 5m
  Alert: {URL}/monitoring/alerts/{EPISODE}/history
  Runbook: https://wiki.example/timeouts
  Acknowledge: {URL}/monitoring/alerts/ack?token={token}
  Evidence:
    - 12 × ValueError: mesh is empty
    - sim /runs/{{id}}: 240 requests, 120 timed out, mean 812 ms, slowest 30000 ms
    - 2026-03-01 11:59:58 UTC GET /runs/7: 504 timed out, 30000 ms, instance 10.0.0.7:80, \
request id c0ffee
    - 2026-03-01 11:59:57 UTC -: client error (state=CR)
    - container sim-1: exited, exit code 137, killed for want of memory, failures in an \
hour: 3, for want of memory: 2, ended 2026-03-01 12:00 UTC, 2 restarts
"""
    )


def test_the_same_in_chinese():
    made = text(message_of(ONE, context=CONTEXT), "zh")
    token = made.secrets[0]
    assert made.subject == "[告警] 严重 timeouts：half of the requests time out"
    assert (
        made.plain
        == f"""\
[告警] 严重 timeouts：half of the requests time out
  since the deployment
  策略：timeouts
  位置：服务 sim，路由 /runs/{{id}}，实例 1，容器 sim-1
  标签：team=core
  开始时间：2026-03-01 11:58 UTC
  当前值：50.0%；条件：requests.timeout_ratio > 0.05, window 5m
  告警详情：{URL}/monitoring/alerts/{EPISODE}/history
  处理手册：https://wiki.example/timeouts
  确认告警：{URL}/monitoring/alerts/ack?token={token}
  依据：
    - 12 次 ValueError: mesh is empty
    - sim /runs/{{id}}：240 个请求，120 超时，平均 812 毫秒，最慢 30000 毫秒
    - 2026-03-01 11:59:58 UTC GET /runs/7：504 超时，30000 毫秒，实例 10.0.0.7:80，\
请求 ID c0ffee
    - 2026-03-01 11:59:57 UTC -：客户端错误 (state=CR)
    - 容器 sim-1：已退出，退出码 137，因内存不足被终止，一小时内异常退出 3 次，\
其中 2 次因内存不足，结束于 2026-03-01 12:00 UTC，重启 2 次
"""
    )


@pytest.mark.parametrize(
    ("fields", "said", "said_in_chinese"),
    [
        (
            {"state": "waiting", "reason": "CrashLoopBackOff", "exit_code": 1, "exits": 4},
            "waiting, exit code 1, reason CrashLoopBackOff, failures in an hour: 4",
            "等待中，退出码 1，原因 CrashLoopBackOff，一小时内异常退出 4 次",
        ),
        # it runs again, and what ended it was between two samples
        (
            {"state": "running", "exit_code": 137, "exits": 1, "oom_kills": 1},
            "running, exit code 137, failures in an hour: 1, for want of memory: 1",
            "运行中，退出码 137，一小时内异常退出 1 次，其中 1 次因内存不足",
        ),
        ({"state": "running", "exit_code": 0}, "running", "运行中"),
    ],
)
def test_why_a_container_ended_is_said(fields, said, said_in_chinese):
    unknown = dict.fromkeys(("health", "exit_code", "oom_killed", "finished_at"))
    found = ContainerFound.model_validate({**unknown, "container": "a", "restarts": 0, **fields})
    known = CONTEXT.model_copy(update={"evidence": (found,)})
    assert f"- container a: {said}\n" in text(message_of(ONE, context=known)).plain
    assert f"- 容器 a：{said_in_chinese}\n" in text(message_of(ONE, context=known), "zh").plain


def test_a_resolved_message_says_when_it_ended_and_asks_for_no_acknowledgement():
    made = text(message_of(resolved_alert(ONE, NOW + minutes(9))))
    assert made.subject.startswith("[RESOLVED] critical timeouts")
    assert "Ended: 2026-03-01 12:09 UTC" in made.plain
    assert "ack?token" not in made.plain
    assert made.secrets == ()


def test_what_was_retracted_and_what_flaps_is_said():
    retracted = resolved_alert(alert(), NOW, retracted=True)
    assert "Late data showed that this alert never was." in text(message_of(retracted)).plain
    assert "予撤回" in text(message_of(retracted), "zh").plain
    flapping = alert(annotations={"flapping": "it opens and resolves often"})
    assert "It opens and resolves often" in text(message_of(flapping)).plain


def test_a_message_of_many_counts_them_and_cuts_the_list():
    many = [alert(service=f"s{number}", team="core") for number in range(24)]
    over = alert(service="over", team="core", resolved_at=NOW)
    made = text(message_of(over, *many))
    assert made.subject == "[FIRING 24, RESOLVED 1] timeouts"
    assert made.plain.count("Policy: ") == 20
    assert made.plain.rstrip().endswith("… and 5 more")
    assert "另有 15 条" in text(message_of(over, *many, max_alerts=10), "zh").plain


def test_common_places_stand_in_the_subject():
    two = [alert(instance=name) for name in "ab"]
    assert text(message_of(*two)).subject == "[FIRING 2] timeouts service sim"


def test_a_digest_says_that_it_is_one():
    held = message_of(alert(), alert(service="b", resolved_at=NOW), kind="digest")
    made = text(held)
    assert made.subject.startswith("[DIGEST, FIRING 1, RESOLVED 1]")
    assert made.plain.startswith("These were held back by the receiver's rate limit.\n\n[FIRING]")
    assert text(held, "zh").subject.startswith("[汇总，告警 1，已恢复 1]")


def test_without_context_secret_or_url_the_rest_is_said():
    bare = dataclasses.replace(message_of(external_url=""), context={"x": {"since": "never"}})
    made = render(Receiver("ops", kind="log"), bare)
    assert "Since: 2026-03-01 12:00 UTC" in made.plain
    for word in ("Value", "Evidence", "Acknowledge"):
        assert word not in made.plain


_SPECIAL = "<>&\"'`*_[]()#\n\r\x00\x1b\u2028{}!|\\~中"
ODD = st.text(st.one_of(st.sampled_from(_SPECIAL), st.characters(codec="utf-8")), max_size=40)


@given(ODD, ODD, ODD)
@example("<script>x</script>", "**bold** _em_ `code`", "[here](https://bad.example) # x")
@example("</b></li>", "https://bad.example", "![x](https://bad.example)\n- y")
def test_what_comes_from_outside_makes_no_line_no_markup_and_no_link(summary, service, found):
    event = EventsFound(count=1, level="error", exception_type=None, message=found)
    message = message_of(
        alert(service=service, annotations={"summary": summary, "runbook": found}),
        context=AlertContext(episode=EPISODE, evidence=(event,)),
        external_url="",
    )
    made = text(message)
    plainest = text(
        message_of(
            alert(service="x" * bool(service.split()), annotations={"summary": "x", "runbook": ""}),
            context=AlertContext(episode=EPISODE, evidence=(event,)),
            external_url="",
        )
    )
    assert len(made.subject.splitlines()) == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", made.plain)
    assert len(made.plain.splitlines()) <= len(plainest.plain.splitlines()) + 2
    tags = set(re.findall(r"<(/?\w+)", made.html))
    assert tags <= {"p", "/p", "b", "/b", "ul", "/ul", "li", "/li", "a", "/a"}
    rendered = markdown(made.markdown)
    assert rendered.count("<strong>") == 1
    assert 'href="https://bad' not in rendered + made.html
    assert set(re.findall(r"<(/?\w+)", rendered)) <= {
        *("p", "/p", "strong", "/strong", "ul", "/ul", "li", "/li", "a", "/a")
    }


def test_markdown_and_html_say_the_same():
    made = text(message_of(ONE, context=CONTEXT))
    from_markdown = html.unescape(re.sub(r"<[^>]+>", "", markdown(made.markdown)))
    from_html = html.unescape(re.sub(r"<[^>]+>", "", made.html))
    for words in ("Value: 50.0%", "120 timed out", "Runbook: https://wiki.example/timeouts"):
        assert words in from_markdown
        assert words in from_html
    assert f'<a href="{URL}/monitoring/alerts/{EPISODE}/history">' in made.html


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, "share", "-"),
        (0.054, "share", "5.4%"),
        (91.25, "percent", "91.25%"),
        (3.5 * 2**20, "bytes", "3.5 MiB"),
        (820.0, "ms", "820 ms"),
        (12.0, "events", "12"),
        (1.23456, "", "1.235"),
    ],
)
def test_values_have_units(value, unit, shown):
    assert value_text(value, unit) == shown


def _shape(value):
    if isinstance(value, str):
        return sorted(name for _, name, _, _ in Formatter().parse(value) if name)
    return sorted(value)


def test_every_language_has_every_phrase_with_the_same_parts():
    english = PHRASES["en"]
    for words in PHRASES.values():
        for one in dataclasses.fields(words):
            if one.name != "states":
                given = getattr(words, one.name)
                assert given, one.name
                assert _shape(given) == _shape(getattr(english, one.name)), one.name


def test_the_log_gets_the_text_without_links_that_act(caplog):
    caplog.set_level("INFO", logger="monitoring")
    receiver = Receiver("console", kind="log", callback_secret="key-1")
    receipt = open_channel(receiver).send(message_of())
    assert "Where: service sim" in caplog.text
    assert "token=" not in caplog.text
    assert receipt.text.startswith("logged [FIRING]")


def test_a_sample_is_a_firing_message_and_its_end():
    receiver = Receiver("ops", kind="log")
    messages = sample_messages(receiver, now=NOW, external_url=URL)
    assert [one.payload["status"] for one in messages] == ["firing", "resolved"]
    assert "nothing is wrong" in render(receiver, messages[0]).subject
    quiet = dataclasses.replace(receiver, send_resolved=False)
    assert len(sample_messages(quiet, now=NOW + timedelta(1), external_url="")) == 1
