"""Operators over HTTP: alerts found and acted on, silences made and ended."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin

import pytest
from fastapi.testclient import TestClient

from tests.monitoring.facts import LONG_AFTER, T0, cover, put_requests
from tests.monitoring.test_history import quiet, run, timeouts, write_policies
from userdb.times import from_minute

POLICIES = """
policies:
  - name: timeouts
    signal: requests.timeouts
    by: [service]
    condition: "> 5"
    window: 1m
    flapping: null
"""
ALERTS = "/api/v1/alerts"
SILENCES = "/api/v1/silences"
#: What never reaches userdb is the same on all databases.
on_one = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def loaded(store, tmp_path):
    """Two episodes of one service that are over, one of another that fires."""
    loaded = write_policies(tmp_path / "p", POLICIES)
    put_requests(store, quiet(*range(20)) | timeouts(*range(4, 9), *range(12, 15)), service="a")
    put_requests(store, quiet(*range(20)) | timeouts(18, 19), service="b")
    cover(store, T0 - 30, T0 + 20)
    run(store, loaded, T0, T0 + 20)
    return loaded


def ok(response, status=200):
    assert response.status_code == status, response.text
    return response.json()


def begins(alerts):
    return [one["active_at"][11:16] for one in alerts]


def everything(client: TestClient, path: str, **query):
    """Page for page, as the header Link leads."""
    pages = []
    url = str(client.build_request("GET", path, params=query).url)
    while url:
        response = client.get(url)
        pages.append(ok(response))
        follow = response.links.get("next")
        url = urljoin(url, follow["url"]) if follow else None
    return pages


def test_alerts_are_filtered_and_come_in_pages_that_link_to_the_next(asking, loaded):
    assert begins(ok(asking.get(ALERTS))) == ["10:19", "10:13", "10:05"]
    assert begins(ok(asking.get(ALERTS, params={"match": 'service=~"b|c"'}))) == ["10:19"]
    assert begins(ok(asking.get(ALERTS, params={"match": ["service=a", "severity=info"]}))) == []
    pages = everything(asking, ALERTS, limit=1, match="service=a", state="resolved")
    assert [begins(page) for page in pages] == [["10:13"], ["10:05"]]
    assert [len(page) for page in everything(asking, ALERTS, limit=2)] == [2, 1]


def test_alerts_and_one_alert_as_of_an_earlier_time(asking, loaded, store):
    first = ok(asking.get(ALERTS))[-1]
    put_requests(store, timeouts(*range(3, 15)), service="a")
    run(store, loaded, T0, T0 + 20, now=LONG_AFTER + timedelta(hours=1))
    then = LONG_AFTER.isoformat()
    assert begins(ok(asking.get(ALERTS))) == ["10:19", "10:04"]
    assert begins(ok(asking.get(ALERTS, params={"as_of": then}))) == ["10:19", "10:13", "10:05"]
    now = ok(asking.get(f"{ALERTS}/{first['id']}"))
    assert (now["holds"], begins(now["alerts"])) == (False, ["10:04"])
    once = ok(asking.get(f"{ALERTS}/{first['id']}", params={"as_of": then}))
    assert (once["holds"], once["alerts"]) == (True, [first])
    successor = ok(asking.get(f"{ALERTS}/{now['alerts'][0]['id']}"))
    assert successor == {"id": now["alerts"][0]["id"], "holds": True, "alerts": now["alerts"]}
    # what is done about the old one is done about what became of it
    done = ok(asking.post(f"{ALERTS}/{first['id']}/comment", json={"note": "seen"}))
    assert done == now
    told = ok(asking.get(f"{ALERTS}/{now['alerts'][0]['id']}/history"))
    assert [(one["action"], one["note"]) for one in told if "action" in one] == [
        ("comment", "seen")
    ]


def test_an_alert_is_acknowledged_assigned_marked_and_resolved_by_whoever_asks(asking, loaded):
    alert = ok(asking.get(ALERTS, params={"state": "firing"}))[0]
    path = f"{ALERTS}/{alert['id']}"
    (now,) = ok(asking.post(f"{path}/acknowledge"))["alerts"]
    assert now["acknowledged_by"] == "key:ops"
    assert begins(ok(asking.get(ALERTS, params={"acknowledged": True}))) == ["10:19"]
    (now,) = ok(asking.post(f"{path}/unacknowledge", json={"note": "not mine"}))["alerts"]
    assert now["acknowledged_by"] is None
    (now,) = ok(asking.post(f"{path}/assign", json={"to": " alice "}))["alerts"]
    assert now["assignee"] == "alice"
    (now,) = ok(asking.post(f"{path}/mark", json={"verdict": "false_positive"}))["alerts"]
    assert now["mark"] == "false_positive"
    (now,) = ok(asking.post(f"{path}/resolve", json={"note": "done"}))["alerts"]
    assert now["state"] == "resolved"
    assert ok(asking.get(path))["alerts"] == [now]
    acts = [one for one in ok(asking.get(f"{path}/history")) if "action" in one]
    assert [(one["action"], one["author"], one["note"]) for one in acts] == [
        ("acknowledge", "key:ops", None),
        ("unacknowledge", "key:ops", "not mine"),
        ("assign", "key:ops", None),
        ("false_positive", "key:ops", None),
        ("resolve", "key:ops", "done"),
    ]


def test_what_can_not_be_done_about_an_alert_says_so(asking, loaded):
    over = ok(asking.get(ALERTS))[-1]["id"]
    for path, status, says in (
        (f"{ALERTS}/nobody/acknowledge", 404, "there is no alert nobody"),
        (f"{ALERTS}/{over}/resolve", 409, "nothing to resolve"),
        (f"{ALERTS}/{over}/unacknowledge", 409, "not acknowledged"),
        (f"{ALERTS}/{over}/comment", 422, "body: Field required"),
    ):
        assert says in ok(asking.post(path), status)["detail"]
    for path, body, field in (
        ("comment", {"note": " "}, "note"),
        ("comment", {"note": "x", "by": "eve"}, "by"),
        ("assign", {"to": ""}, "to"),
        ("mark", {"verdict": "perhaps"}, "verdict"),
        ("acknowledge", {"note": "x" * 10_001}, "note"),
    ):
        refused = ok(asking.post(f"{ALERTS}/{over}/{path}", json=body), 422)
        assert [one["field"] for one in refused["errors"]] == [field]
    assert ok(asking.get(f"{ALERTS}/nobody"), 404)["detail"] == "there is no alert nobody"


@on_one
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"cursor": "bm90aGluZw=="}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"match": "service"}, "match"),
        ({"match": 'service=~"("'}, "match"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "from"),
        ({"as_of": "9999-12-31T23:59:59-14:00"}, "as_of"),
    ],
)
def test_a_query_that_means_nothing_names_the_parameter(asking, query, field):
    refused = ok(asking.get(ALERTS, params=query), 422)
    assert [one["field"] for one in refused["errors"]] == [field]


def test_a_silence_is_made_listed_and_ended(asking, store):
    made = ok(
        asking.post(
            SILENCES,
            json={"matchers": ["service=sim"], "duration": "2h", "comment": "new disks"},
        ),
        201,
    )
    assert (made["state"], made["author"], made["matchers"]) == (
        "active",
        "key:ops",
        ['service="sim"'],
    )
    ends = datetime.fromisoformat(made["ends_at"])
    assert ends - datetime.fromisoformat(made["starts_at"]) == timedelta(hours=2)
    assert ok(asking.get(SILENCES)) == [made]
    ended = ok(asking.delete(f"{SILENCES}/{made['id']}"))
    assert (ended["state"], ended["expired_by"]) == ("expired", "key:ops")
    assert ok(asking.get(SILENCES)) == []
    assert ok(asking.get(SILENCES, params={"all": True})) == [ended]
    assert ok(asking.delete(f"{SILENCES}/{made['id']}")) == ended
    assert "no silence nothing" in ok(asking.delete(f"{SILENCES}/nothing"), 404)["detail"]


def test_a_maintenance_window_comes_again_as_it_was_written(asking):
    recurrence = {
        "times": [{"start_time": "02:00", "end_time": "03:30"}],
        "weekdays": ["monday:friday", "sunday"],
        "location": "Asia/Shanghai",
    }
    new = {"matchers": ['service=~"sim-.*"'], "comment": "backups", "recurrence": recurrence}
    made = ok(asking.post(SILENCES, json=new), 201)
    assert made["ends_at"] is None
    assert {**made["recurrence"], **recurrence} == made["recurrence"]
    assert ok(asking.get(SILENCES))[0]["recurrence"] == made["recurrence"]


def test_silences_come_in_pages(asking):
    for number in range(3):
        at = datetime(2200, 1, 1, number % 2, tzinfo=UTC).isoformat()
        new = {"matchers": [f"n=s{number}"], "comment": "x", "starts_at": at, "duration": "1h"}
        ok(asking.post(SILENCES, json=new), 201)
    pages = everything(asking, SILENCES, limit=1)
    assert [len(page) for page in pages] == [1, 1, 1]
    assert [page[0] for page in pages] == ok(asking.get(SILENCES))


@on_one
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"matchers": ['service=~".*"']}, "matchers"),
        ({"matchers": ["service"]}, "matchers.0"),
        ({"matchers": []}, "matchers"),
        ({"duration": None}, "ends_at"),
        ({"duration": "9999999999w"}, "duration"),
        ({"duration": "0s"}, "duration"),
        ({"duration": None, "ends_at": "2026-01-01T00:00:00Z"}, "ends_at"),
        ({"comment": " "}, "comment"),
        ({"recurrence": {"weekdays": ["someday"]}}, "recurrence.weekdays"),
    ],
)
def test_what_is_no_silence_names_the_field(asking, wrong, field):
    new = {"matchers": ["service=sim"], "duration": "2h", "comment": "x", **wrong}
    refused = ok(asking.post(SILENCES, json=new), 422)
    assert [one["field"] for one in refused["errors"]] == [field]


def test_collections_come_in_pages_newest_first(asking, store):
    for minute in range(3):
        cover(store, T0 + minute, T0 + minute + 1)
    pages = everything(asking, "/api/v1/collections", limit=2, collector="request_logs")
    starts = [row["window_start"] for page in pages for row in page]
    assert [len(page) for page in pages] == [2, 1]
    assert [datetime.fromisoformat(one) for one in starts] == [
        from_minute(T0 + minute) for minute in (2, 1, 0)
    ]


@on_one
def test_what_the_page_tells_to_ask_is_answered(asking, loaded):
    page = (Path(__file__).parents[3] / "docs" / "reads.md").read_text("utf-8")
    commands = [shlex.split(line) for line in page.splitlines() if line.startswith("    curl ")]
    assert len(commands) == 7
    for words in commands:
        url = words[-1].replace("$URL", "").replace("$ID", ok(asking.get(ALERTS))[0]["id"])
        if "--json" in words:
            body = json.loads(words[words.index("--json") + 1])
            response = asking.post(url, json=body)
        else:
            response = asking.request("POST" if "POST" in words else "GET", url)
        assert response.status_code in (200, 201), (url, response.text)
