"""Answers of those who got a message: with its token alone, and nothing but what it allows."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from monitoring.alerts.read import ActRow, get_alert, read_history
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.notify.tokens import GOOD_FOR, Grant, make_token

from tests.monitoring.api.conftest import SECRET
from tests.monitoring.api.logins import anyone, nobody
from tests.notify.episodes import add_policy, put_alert, supersede
from userdb.store import Store

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime.now(UTC)
CALLBACKS = "/api/v1/callbacks"
PAGE = "/alerts/ack"


def token(episode: str = "a", *, secret: str = SECRET, now: datetime = NOW) -> str:
    return make_token(secret, Grant(episode, "oncall"), now=now)


@pytest.fixture
def client(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client that has not logged in."""
    monkeypatch.setenv("MONITORING_CALLBACK_SECRET", SECRET)
    add_policy(store)
    ago = NOW - timedelta(minutes=10)
    put_alert(store, "a", fired_at=ago, service="<i>sim</i>")
    put_alert(store, "over", series_id=2, fired_at=ago, resolved_at=NOW)
    app = create_app(login=nobody)
    app.dependency_overrides[get_store] = lambda: store
    yield TestClient(app, raise_server_exceptions=False)
    app.dependency_overrides.clear()


def acts(store: Store) -> list[tuple[str, str, str, str | None]]:
    with store.read() as connection:
        return [
            (row.alert_id, row.action, row.author, row.note)
            for row in read_history(connection)
            if isinstance(row, ActRow)
        ]


def state(store: Store) -> str:
    with store.read() as connection:
        alert = get_alert(connection, "a")
    assert alert is not None
    return alert.state


def test_a_receiver_acknowledges_comments_and_resolves(client: TestClient, store: Store) -> None:
    for body in (
        {"action": "acknowledged", "by": "Ann"},
        {"action": "comment", "note": "restarted"},
        {"action": "resolved"},
    ):
        response = client.post(CALLBACKS, json={"token": token(), **body})
        assert (response.status_code, response.json()) == (200, {"alerts": ["a"]})
    assert acts(store) == [
        ("a", "acknowledge", "Ann via oncall", None),
        ("a", "comment", "oncall", "restarted"),
        ("a", "resolve", "oncall", None),
    ]
    assert state(store) == "resolved"
    again = client.post(CALLBACKS, json={"token": token(), "action": "resolved"})
    assert again.status_code == 409
    assert "is over since" in again.json()["detail"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (token(secret="another"), "not genuine"),
        ("x" + token(), "not genuine"),
        (token(now=NOW - GOOD_FOR - timedelta(minutes=1)), "too old"),
    ],
    ids=["another key", "changed", "too old"],
)
def test_a_token_that_allows_nothing_is_refused_and_not_repeated(
    client: TestClient, store: Store, caplog: pytest.LogCaptureFixture, given: str, says: str
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        client.post(CALLBACKS, json={"token": given, "action": "acknowledged"}),
        client.get(PAGE, params={"token": given}),
        client.post(PAGE, data={"token": given}),
    ]
    for response in answers:
        assert response.status_code == 403
        assert says in response.text
        assert given not in response.text
    assert given not in "".join(one.getMessage() for one in caplog.records if one.name != "httpx")
    assert acts(store) == []


def test_links_of_messages_that_were_sent_before_the_key_was_changed_work(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = token()
    monkeypatch.setenv("MONITORING_CALLBACK_SECRET_PREVIOUS", SECRET)
    monkeypatch.setenv("MONITORING_CALLBACK_SECRET", "the new one")
    assert client.post(PAGE, data={"token": sent}).status_code == 200
    again = client.post(CALLBACKS, json={"token": sent, "action": "comment", "note": "on it"})
    assert again.status_code == 200
    assert [one[1] for one in acts(store)] == ["acknowledge", "comment"]
    monkeypatch.delenv("MONITORING_CALLBACK_SECRET_PREVIOUS")
    assert client.post(PAGE, data={"token": sent}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"action": "acknowledged"},
        {"token": token(), "action": "assign"},
        {"token": token(), "action": "comment", "alert": "b"},
        {"token": "x" * 2001, "action": "comment"},
    ],
    ids=["no token", "another act", "another field", "too long"],
)
def test_a_body_that_is_no_callback_is_refused(client: TestClient, store, body) -> None:
    response = client.post(CALLBACKS, json=body)
    assert response.status_code == 422
    assert body.get("token", "no token") not in response.text
    assert acts(store) == []


def test_a_comment_needs_a_text(client: TestClient) -> None:
    response = client.post(CALLBACKS, json={"token": token(), "action": "comment"})
    assert response.status_code == 409
    assert "needs a text" in response.json()["detail"]


def test_without_a_secret_there_are_no_callbacks(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MONITORING_CALLBACK_SECRET")
    response = client.post(CALLBACKS, json={"token": token(), "action": "acknowledged"})
    assert response.status_code == 403
    assert "MONITORING_CALLBACK_SECRET is not set" in response.json()["detail"]
    assert acts(store) == []


def test_following_a_messages_link_changes_nothing(client: TestClient, store: Store) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        client.request(method, PAGE, params={"token": token()})
    assert acts(store) == []


def test_the_page_asks_and_its_form_acknowledges(client: TestClient, store: Store) -> None:
    page = client.get(PAGE, params={"token": token()})
    assert page.status_code == 200
    assert "&lt;i&gt;sim&lt;/i&gt;: 50% of requests time out" in page.text
    assert "<i>" not in page.text
    hidden = re.search(r'name="token" value="([^"]+)"', page.text)
    assert hidden is not None
    done = client.post(PAGE, data={"token": hidden[1], "by": "Ann", "note": "on it"})
    assert done.status_code == 200
    assert "Acknowledged. Thank you." in done.text
    assert acts(store) == [("a", "acknowledge", "Ann via oncall", "on it")]
    assert "Acknowledged by Ann via oncall" in client.get(PAGE, params={"token": token()}).text


def test_the_page_is_kept_by_no_cache_and_tells_no_other_site(client: TestClient) -> None:
    headers = client.get(PAGE, params={"token": token()}).headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_the_page_speaks_chinese_to_whom_asks_for_it(client: TestClient) -> None:
    given = {"token": token()}
    page = client.get(PAGE, params=given, headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert '<html lang="zh">' in page.text
    assert "确认告警" in page.text
    other = client.get(PAGE, params=given, headers={"Accept-Language": "en,zh;q=0.9"})
    assert "Acknowledge alert" in other.text


def test_the_page_says_that_an_alert_is_over(client: TestClient, store: Store) -> None:
    page = client.get(PAGE, params={"token": token("over")})
    assert page.status_code == 200
    assert "The alert is over" in page.text
    assert client.post(PAGE, data={"token": token("over")}).status_code == 200
    assert acts(store) == [("over", "acknowledge", "oncall", None)]


def test_a_link_to_what_late_data_changed_leads_to_what_holds_now(
    client: TestClient, store: Store
) -> None:
    ago = NOW - timedelta(minutes=12)
    put_alert(store, "old", fired_at=ago)
    supersede(store, "old")
    assert "<form" in client.get(PAGE, params={"token": token("old")}).text
    client.post(PAGE, data={"token": token("old")})
    assert acts(store) == [("a", "acknowledge", "oncall", None)]
    put_alert(store, "never", series_id=9, fired_at=ago)
    supersede(store, "never")
    for answer in (
        client.get(PAGE, params={"token": token("never")}),
        client.post(PAGE, data={"token": token("never")}),
    ):
        assert "never was" in answer.text


def test_the_history_over_http_has_what_was_done(client: TestClient, store: Store) -> None:
    client.post(CALLBACKS, json={"token": token(), "action": "acknowledged", "note": "on it"})
    app = create_app(login=anyone)
    app.dependency_overrides[get_store] = lambda: store
    rows = TestClient(app).get("/api/v1/alerts/a/history").json()
    alerts = TestClient(app).get("/api/v1/alerts").json()
    app.dependency_overrides.clear()
    assert [(row["action"], row["author"], row["note"]) for row in rows] == [
        ("acknowledge", "oncall", "on it")
    ]
    assert [one["acknowledged_by"] for one in alerts if one["id"] == "a"] == ["oncall"]
    assert "token" not in json.dumps([rows, alerts])


@pytest.mark.curl
def test_the_documented_curl_acknowledges(served: str, sqlite_store: Store) -> None:
    page = (ROOT / "docs" / "feedback.md").read_text(encoding="utf-8")
    example = re.search(r"^```sh\n(curl .*?)^```$", page, re.M | re.S)
    assert example is not None
    add_policy(sqlite_store)
    put_alert(sqlite_store, "a", fired_at=NOW - timedelta(minutes=10))
    command = example[1].replace("https://airflow.example.com/monitoring", served)
    done = subprocess.run(
        ["sh", "-c", command.replace("$TOKEN", token())],
        env={"PATH": os.environ["PATH"], "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"alerts": ["a"]}
    assert acts(sqlite_store) == [("a", "acknowledge", "Ann via oncall", "on it")]
