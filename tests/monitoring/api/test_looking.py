"""Signals, policies and evaluations over HTTP, for tools and for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin

import pytest
from monitoring.signals import SIGNALS

from tests.monitoring.facts import LONG_AFTER, T0, cover, put_requests
from tests.monitoring.test_history import quiet, run, timeouts, write_policies
from userdb.times import from_minute, to_minute

POLICIES = """
policies:
  - name: timeouts
    signal: requests.timeouts
    by: [service]
    condition: "> 5"
    window: 1m
    severity: SEVERITY
  - name: errors
    signal: requests.server_errors
    condition: "> 5"
"""
SERIES = "/api/v1/signals/requests.timeouts/series"
on_one = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def at(minute: int) -> str:
    return from_minute(T0 + minute).isoformat().replace("+00:00", "Z")


def ok(response, status=200):
    assert response.status_code == status, response.text
    return response.json()


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The folder of policies that the API reads."""
    monkeypatch.setenv("MONITORING_POLICIES", str(tmp_path / "p"))

    def write(text):
        return write_policies(tmp_path / "p", text)

    return write


@pytest.fixture
def evaluated(store, files):
    put_requests(store, quiet(*range(20)) | timeouts(4, 5), service="a")
    put_requests(store, quiet(*range(20)) | timeouts(5, each=8), service="b")
    cover(store, T0 - 30, T0 + 10)
    run(store, files(POLICIES.replace("SEVERITY", "warning")), T0, T0 + 20)


@on_one
def test_the_catalogue_has_every_signal_with_its_unit_and_labels(asking):
    found = {one["name"]: one for one in ok(asking.get("/api/v1/signals"))}
    assert set(found) == set(SIGNALS)
    assert found["requests.timeout_ratio"]["unit"] == "share"
    assert found["requests.timeout_ratio"]["aggregates"] == []
    assert found["containers.cpu_percent"]["aggregates"][0] == "avg"
    assert "service" in found["requests.count"]["labels"]


def test_a_signal_over_time_tells_zero_from_unknown_and_counts_what_it_leaves_out(
    asking, evaluated
):
    query = {"from": at(3), "to": at(12), "step": "1m", "by": "service"}
    chart = ok(asking.get(SERIES, params=query))
    assert chart["times"] == [at(minute) for minute in range(3, 12)]
    assert chart["coverage"] == [1] * 7 + [0] * 2
    assert [(one["labels"], one["values"]) for one in chart["series"]] == [
        ({"service": "a"}, [0, 9, 9, 0, 0, 0, 0, None, None]),
        ({"service": "b"}, [0, 0, 8, 0, 0, 0, 0, None, None]),
    ]
    assert (chart["unit"], chart["step"], chart["left_out"]) == ("requests", "1m", 0)
    one = ok(asking.get(SERIES, params={**query, "limit": 1}))
    assert ([s["labels"] for s in one["series"]], one["left_out"]) == ([{"service": "a"}], 1)
    some = ok(asking.get(SERIES, params={**query, "where": ["service=b", "service=c*"]}))
    assert [s["labels"] for s in some["series"]] == [{"service": "b"}]


@on_one
def test_a_chart_without_a_range_ends_now_and_never_later(asking, store):
    now = datetime.now(UTC)
    cover(store, to_minute(now) - 400, to_minute(now) + 1)
    for query in ({}, {"to": (now + timedelta(days=9)).isoformat(), "from": now.isoformat()}):
        chart = ok(asking.get(SERIES, params=query))
        last = datetime.fromisoformat(chart["times"][-1])
        assert now - timedelta(minutes=2) <= last <= datetime.now(UTC)
    assert len(ok(asking.get(SERIES))["times"]) in (360, 361)


@on_one
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"step": "5"}, "step"),
        ({"step": "90s"}, "step"),
        ({"step": "999999999w"}, "step"),
        ({"from": "2026-03-02T10:00:00Z", "to": "2026-03-02T10:00:00Z"}, "from"),
        ({"from": "1970-01-01T00:00:00Z", "step": "1m"}, "step"),
        ({"where": "service"}, "where"),
        ({"by": "nothing"}, "signal"),
        ({"quantile": "0.5"}, "signal"),
        ({"quantile": "1"}, "quantile"),
        ({"aggregate": "median"}, "aggregate"),
    ],
)
def test_a_chart_that_means_nothing_names_the_parameter(asking, query, field):
    refused = ok(asking.get(SERIES, params=query), 422)
    assert [one["field"] for one in refused["errors"]] == [field]
    assert ok(asking.get("/api/v1/signals/nope/series"), 404)["status"] == 404


def test_policies_say_what_is_in_force_and_what_the_files_will_change(
    asking, evaluated, files, store
):
    rows = {row["name"]: row for row in ok(asking.get("/api/v1/policies"))["policies"]}
    assert {name: row["standing"] for name, row in rows.items()} == {
        "errors": "in_force",
        "timeouts": "in_force",
    }
    row = rows["timeouts"]
    assert (row["versions"], row["is_edited"], row["evaluated_until"]) == (1, False, at(20))
    assert row["in_force"]["definition"] == row["file"]
    text = POLICIES.replace("SEVERITY", "critical").replace("name: errors", "name: failures")
    files(text)
    rows = {row["name"]: row for row in ok(asking.get("/api/v1/policies"))["policies"]}
    assert {name: (row["standing"], row["is_edited"]) for name, row in rows.items()} == {
        "errors": ("in_force", True),
        "failures": ("new", True),
        "timeouts": ("in_force", True),
    }
    assert (rows["timeouts"]["severity"], rows["timeouts"]["file"]["severity"]) == (
        "warning",
        "critical",
    )
    run(store, files(text), T0, T0 + 20, now=LONG_AFTER + timedelta(hours=1))
    detail = ok(asking.get("/api/v1/policies/timeouts"))
    assert [one["definition"]["severity"] for one in detail["history"]] == ["warning", "critical"]
    assert detail["in_force"] == detail["history"][-1]
    assert detail["is_edited"] is False
    gone = ok(asking.get("/api/v1/policies/errors"))
    assert (gone["standing"], gone["in_force"], gone["is_edited"]) == ("removed", None, False)
    assert ok(asking.get("/api/v1/policies/nope"), 404)["status"] == 404


@on_one
def test_a_policy_file_with_an_error_hides_no_other_and_is_named(asking, evaluated, files):
    files(POLICIES.replace("SEVERITY", "loud"))
    answer = ok(asking.get("/api/v1/policies"))
    assert [(row["name"], row["is_broken"], row["is_edited"]) for row in answer["policies"]] == [
        ("errors", False, False),
        ("timeouts", True, False),
    ]
    assert "severity" in answer["errors"][0]


@on_one
def test_without_the_folder_of_policies_those_in_force_are_shown(asking, evaluated, monkeypatch):
    monkeypatch.setenv("MONITORING_POLICIES", "nowhere")
    answer = ok(asking.get("/api/v1/policies"))
    assert [row["name"] for row in answer["policies"]] == ["errors", "timeouts"]
    assert "no such file or folder" in answer["errors"][0]


def test_evaluations_say_what_was_evaluated_and_what_was_found(asking, evaluated):
    query = {"policy": "timeouts", "from": at(0), "to": at(30), "values": True}
    found = ok(asking.get("/api/v1/evaluations", params=query))
    assert found["evaluated"] == [{"after": at(0), "until": at(20)}]
    assert [
        (one["labels"], one["evaluation_class"], one["first"], one["last"], one["values"])
        for one in found["evidence"]
    ] == [
        ({"service": "a"}, "breach", at(5), at(6), [9, 9]),
        ({"service": "b"}, "breach", at(6), at(6), [8]),
        ({}, "unknown", at(11), at(20), None),
    ]
    matched = ok(asking.get("/api/v1/evaluations", params={**query, "match": "service=b"}))
    assert [one["labels"] for one in matched["evidence"]] == [{"service": "b"}, {}]
    breaches = ok(asking.get("/api/v1/evaluations", params={**query, "class": "breach"}))
    assert len(breaches["evidence"]) == 2
    later = {"policy": "timeouts", "from": at(6), "to": at(10)}
    found = ok(asking.get("/api/v1/evaluations", params=later))
    assert (found["evaluated"], found["evidence"]) == ([{"after": at(6), "until": at(10)}], [])


def test_evidence_comes_in_pages(asking, evaluated):
    url = str(asking.build_request("GET", "/api/v1/evaluations").url)
    query = {"policy": "timeouts", "from": at(0), "to": at(30), "limit": 1}
    response = asking.get(url, params=query)
    pages = [ok(response)["evidence"]]
    while "next" in response.links:
        response = asking.get(urljoin(str(response.url), response.links["next"]["url"]))
        pages.append(ok(response)["evidence"])
    whole = ok(asking.get(url, params={**query, "limit": 500}))["evidence"]
    assert [page[0] for page in pages] == whole
    assert [len(page) for page in pages] == [1, 1, 1]


@on_one
def test_evaluations_of_no_policy_or_of_too_long_a_time_are_refused(asking, evaluated):
    path = "/api/v1/evaluations"
    assert "nope" in ok(asking.get(path, params={"policy": "nope"}), 404)["detail"]
    for query in (
        {"policy": "timeouts", "from": "2020-01-01T00:00:00Z"},
        {"policy": "timeouts", "from": at(0), "to": at(0)},
    ):
        assert ok(asking.get(path, params=query), 422)["errors"][0]["field"] == "from"
