"""Raw requests, and those that an alert is about, over HTTP, as a page and from the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.cli import app as command
from monitoring.notify.tokens import Grant, make_token
from typer.testing import CliRunner

from tests.monitoring.api.conftest import SECRET
from tests.monitoring.api.logins import nobody, viewer
from tests.monitoring.facts import put_raw, put_requests
from tests.notify.episodes import NOW, add_policy, minutes, put_alert
from userdb.store import Store
from userdb.times import to_minute

REQUESTS = "/api/v1/requests"
DAY = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def failed(path: str, seconds: float, **columns: Any) -> dict[str, Any]:
    """A request that timed out."""
    told = {"status": 504, "outcome": "timeout", "outcome_reason": "status=504"}
    return {"path": path, "occurred_at": ago(seconds), **told, **columns}


@pytest.fixture
def rows(store: Store) -> None:
    """Eight requests, ``/0`` the newest."""
    put_raw(
        store,
        failed("/7", 70, duration_ms=900.0),
        failed("/6", 60, status=401, outcome="auth_failure", duration_ms=0.1),
        failed("/5", 50, service="other", duration_ms=1 / 3),
        failed("/4", 40, source="another"),
        failed("/3", 30, duration_ms=900.0, request_id="c0ffee"),
        failed("/2", 20, instance="10.0.0.7:80", duration_ms=30000.0),
        failed("/1", 10, duration_ms=900.0),
        failed("/0", 10, route="/other"),
    )


def paths(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [one["path"] for one in response.json()]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "01234567"),
        ({"source": "another"}, "4"),
        ({"service": "other"}, "5"),
        ({"route": "/other"}, "0"),
        ({"instance": "10.0.0.7:80"}, "2"),
        ({"outcome": "auth_failure"}, "6"),
        ({"status": 401}, "6"),
        ({"request_id": "c0ffee"}, "3"),
        ({"min_duration_ms": 900}, "1237"),
        ({"min_duration_ms": 0}, "123567"),
        ({"from": ago(30).isoformat(), "to": ago(10).isoformat()}, "23"),
        ({"service": "sim", "outcome": "timeout", "order": "duration"}, "213704"),
        ({"order": "duration"}, "21375604"),
        ({"request_id": "C0FFEE"}, ""),
        ({"service": "sim "}, ""),
    ],
)
def test_requests_are_found_by_what_they_are(
    asking: TestClient, query: dict[str, Any], found: str
) -> None:
    assert paths(asking.get(REQUESTS, params={**DAY, **query})) == [f"/{one}" for one in found]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(("order", "found"), [("time", "01234567"), ("duration", "21375604")])
@pytest.mark.parametrize("limit", [1, 2, 3, 8])
def test_pages_have_each_request_once(
    asking: TestClient, order: str, found: str, limit: int
) -> None:
    response = asking.get(REQUESTS, params={**DAY, "order": order, "limit": limit})
    seen = paths(response)
    while "next" in response.links:
        response = asking.get(REQUESTS + response.links["next"]["url"])
        seen += paths(response)
        assert len(response.json()) <= limit
    assert seen == [f"/{one}" for one in found]


@pytest.mark.usefixtures("rows")
def test_a_request_tells_all_that_was_logged(asking: TestClient) -> None:
    (found,) = asking.get(REQUESTS, params={**DAY, "request_id": "c0ffee"}).json()
    assert found == {
        "occurred_at": "2026-03-01T11:59:30Z",
        "source": "gateway",
        "service": "sim",
        "route": "/run",
        "instance": None,
        "method": "GET",
        "host": None,
        "path": "/3",
        "status": 504,
        "outcome": "timeout",
        "outcome_reason": "status=504",
        "duration_ms": 900.0,
        "bytes_sent": None,
        "client": None,
        "user": None,
        "user_agent": None,
        "request_id": "c0ffee",
    }


def test_the_last_hour_is_meant_where_nothing_is_said(asking: TestClient, store: Store) -> None:
    now = datetime.now(UTC)
    put_raw(
        store,
        {"occurred_at": now - timedelta(minutes=70), "path": "/before"},
        {"occurred_at": now - timedelta(minutes=50), "path": "/within"},
    )
    assert paths(asking.get(REQUESTS)) == ["/within"]
    until = (now - timedelta(minutes=40)).isoformat()
    assert paths(asking.get(REQUESTS, params={"to": until})) == ["/within", "/before"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:01Z"}, "from"),
        ({"from": "2026-03-01T00:00:00Z"}, "from"),
        ({"from": DAY["to"], "to": DAY["from"]}, "from"),
        ({"outcome": "bad"}, "outcome"),
        ({"order": "path"}, "order"),
        ({"cursor": "x"}, "cursor"),
    ],
)
def test_what_would_look_through_everything_is_refused(
    asking: TestClient, query: dict[str, str], field: str
) -> None:
    response = asking.get(REQUESTS, params=query)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["field"] == field


@pytest.mark.usefixtures("rows")
def test_the_command_finds_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("USERDB_URL", url)
    span = ("--from", DAY["from"], "--to", DAY["to"])

    def run(*options: str) -> str:
        result = CliRunner().invoke(command, ["requests", "list", *span, *options])
        assert result.exit_code == 0, result.output
        return result.stdout

    for options, found in (
        ((), "01234567"),
        (("--order", "duration", "--limit", "3"), "213"),
        (("--min-duration-ms", "900", "--service", "sim"), "1237"),
        (("--outcome", "auth_failure"), "6"),
        (("--request-id", "c0ffee", "--status", "504"), "3"),
    ):
        told = json.loads(run(*options, "--format", "json"))
        assert [one["path"] for one in told] == [f"/{one}" for one in found]
    table = run("--request-id", "c0ffee")
    assert "timeout (status=504)" in table
    assert "2026-03-01 11:59:30" in table


@pytest.fixture
def firing(store: Store) -> None:
    """An alert that fires, one of the same series that is over, and what both were about."""
    add_policy(store)
    put_alert(store, "a")
    put_alert(store, "over", fired_at=NOW - minutes(60), resolved_at=NOW - minutes(50))
    put_alert(store, "old", superseded_at=NOW)
    put_alert(store, "never", series_id=2, superseded_at=NOW)
    minute = to_minute(NOW) - 1
    counted = {"requests": 9, "timeout": 9}
    instance = "10.0.0.7:80"
    span = {minute: counted, minute - 60: counted}
    put_requests(store, span, source="gateway", instance=instance)
    put_raw(
        store,
        failed("/<i>now</i>", 5, duration_ms=30000.2, request_id="c0ffee", instance=instance),
        failed("/then", 3605, instance=instance),
    )


def what(response: Any) -> list[tuple[str, Any]]:
    assert response.status_code == 200, response.text
    return [(one["what"], one.get("path", one.get("route"))) for one in response.json()]


@pytest.mark.usefixtures("firing")
def test_evidence_of_an_alert_has_its_requests(asking: TestClient) -> None:
    evidence = "/api/v1/alerts/{}/evidence"
    route = ("route", "/run")
    assert what(asking.get(evidence.format("a"))) == [route, ("request", "/<i>now</i>")]
    # of one that is over: of when it fired
    assert what(asking.get(evidence.format("over"))) == [route, ("request", "/then")]
    assert asking.get(evidence.format("nothing")).status_code == 404


@pytest.fixture
def pages(store: Store) -> Iterator[TestClient]:
    app = create_app(login=viewer)
    app.dependency_overrides[get_store] = lambda: store
    yield TestClient(app, raise_server_exceptions=False)
    app.dependency_overrides.clear()


@pytest.mark.usefixtures("firing")
def test_the_page_of_an_alert_shows_its_requests(pages: TestClient) -> None:
    page = pages.get("/alerts/a/history")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for said in (
        "sim: 50% of requests time out",
        "sim /run 10.0.0.7:80: 9 requests, 9 timed out",
        "2026-03-01 11:59:55 UTC",
        "GET /&lt;i&gt;now&lt;/i&gt;",
        "timed out (status=504)",
        "30000 ms",
        "10.0.0.7:80",
        "c0ffee",
    ):
        assert said in page.text, said
    chinese = pages.get("/alerts/a/history", headers={"Accept-Language": "zh-CN"}).text
    assert "部分请求" in chinese
    assert "30000 毫秒" in chinese
    # what late data made of it, and what never was
    assert '<a href="../a/history">' in pages.get("/alerts/old/history").text
    assert "never was" in pages.get("/alerts/never/history").text
    assert pages.get("/alerts/nothing/history").status_code == 404


@pytest.mark.usefixtures("firing")
def test_who_got_a_message_sees_its_evidence_before_acknowledging(
    pages: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITORING_CALLBACK_SECRET", SECRET)
    token = make_token(SECRET, Grant("a", "oncall"), now=datetime.now(UTC))
    page = pages.get("/alerts/ack", params={"token": token}).text
    assert "<li>2026-03-01 11:59:55 UTC GET /&lt;i&gt;now&lt;/i&gt;: 504 timed out" in page


@pytest.mark.usefixtures("firing")
def test_strangers_do_not_see_the_page(store: Store) -> None:
    app = create_app(login=nobody)
    app.dependency_overrides[get_store] = lambda: store
    response = TestClient(app).get("/alerts/a/history")
    app.dependency_overrides.clear()
    assert response.status_code == 401
    assert "sim" not in response.text


@pytest.mark.usefixtures("firing")
def test_the_command_shows_an_alert_with_its_requests(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERDB_URL", store.engine.url.render_as_string(hide_password=False))
    shown = CliRunner().invoke(command, ["alerts", "show", "a"]).stdout
    assert "/<i>now</i>: 504 timed out, 30000 ms, instance 10.0.0.7:80, request id c0ffee" in shown
    printed = CliRunner().invoke(command, ["alerts", "show", "a", "--format", "json"]).stdout
    told = json.loads(printed)
    assert [one["what"] for one in told["evidence"]] == ["route", "request"]
