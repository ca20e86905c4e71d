"""No query of a hot path looks at all of a table that grows: asked of the database itself.

Over some years in small, the chain runs a window, folds, notifies, keeps itself and answers its
readers. Each statement that it sends is explained. What may scan a growing table is named here,
and why.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from monitoring import chain, chain_numbers, watch
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.keys import SCOPES, create_key
from monitoring.registry.upkeep import keep_up
from monitoring.retention import purge_expired
from monitoring.signals import COLLECTORS
from monitoring.window import Window
from sqlalchemy import JSON, Float, String

import include
from tests.incident import MINUTE, Incident
from tests.userdb.query_plans import Statements, analyze, recorded, scans
from userdb.bulk import bulk_insert
from userdb.migrate import upgrade
from userdb.models import (
    Alert,
    AlertTransition,
    Audit,
    Base,
    Collection,
    ContainerSample,
    Delivery,
    DeliveryAttempt,
    Evaluation,
    EventMinute,
    MinuteChange,
    MonitorEvent,
    OperatorAction,
    PolicyScore,
    RequestLog,
    RequestMinute,
    Series,
    Silence,
)
from userdb.partitions import keep_partitions
from userdb.store import Store, open_store
from userdb.times import to_minute
from userdb.types import UtcDateTime

#: Rows of each table that grows.
ROWS = 6000
GROWING = frozenset(
    model.__tablename__
    for model in (
        *(Alert, AlertTransition, Audit, Collection, ContainerSample, Delivery, DeliveryAttempt),
        *(Evaluation, EventMinute, MinuteChange, MonitorEvent, OperatorAction, PolicyScore),
        *(RequestLog, RequestMinute, Silence),
    )
)
STEP = 10 * MINUTE
#: What may look at all of a table: the table, a part of the statement, and why it may.
ALLOWED = (
    ("alert", "ORDER BY alert.active_at DESC", "every alert there is, newest first: they are few"),
    ("alert_transition", "recorded_at <=", "what was believed once: all that was written by then"),
    ("collection", "GROUP BY collection.collector", "totals of a scrape: counters count for ever"),
    ("operator_action", "operator_action.policy IN", "people's acts since an alert began: few"),
    ("delivery", "GROUP BY delivery.receiver", "totals of a scrape: counters count for ever"),
)
POLICIES = ("request-timeouts", "business-exceptions", "container-memory", "timeouts")


def history(model: type[Base], end: datetime, **columns: Any) -> list[dict[str, Any]]:
    """ROWS rows before ``end``, STEP apart; ``columns``: functions of a row's number."""
    defaults = ((String, ""), (JSON, {}), (Float, 0.0))
    rows = []
    for number in range(ROWS):
        at = end - (ROWS - number) * STEP
        row: dict[str, Any] = {}
        for column in model.__table__.columns:
            if column.name in columns:
                row[column.name] = columns[column.name](number, at)
            elif column.name.endswith(("minute", "_minute")):
                row[column.name] = to_minute(at)
            elif isinstance(column.type, UtcDateTime):
                row[column.name] = at
            elif not (column.nullable or column.autoincrement is True):
                row[column.name] = next(
                    (value for kind, value in defaults if isinstance(column.type, kind)), 1
                )
        rows.append(row)
    return rows


def fill(store: Store, end: datetime) -> None:
    """Years in small: ROWS rows of each growing table, the newest before ``end``."""

    def policy(number: int, _at: datetime) -> str:
        return POLICIES[number % len(POLICIES)]

    def mark(number: int, _at: datetime) -> str:
        return f"{number:032x}"

    def series(number: int, _at: datetime) -> int:
        return 1 + number % 50

    def state(number: int, _at: datetime) -> str:
        return "firing" if number >= ROWS - 20 else "resolved"

    def none(_number: int, _at: datetime) -> None:
        return None

    def ended(number: int, at: datetime) -> datetime | None:
        return at + MINUTE if state(number, at) == "resolved" else None

    collectors = ("gateway_exceptions", "request_logs", "container_stats", "push.request")
    filled = {
        Alert: {
            "id": mark,
            "policy": policy,
            "series_id": series,
            "state": state,
            "resolved_at": ended,
            "flapping_at": none,
            "calm_at": none,
            "superseded_at": none,
            "severity": lambda *_: "error",
        },
        AlertTransition: {
            "alert_id": mark,
            "policy": policy,
            "series_id": series,
            "superseded_at": none,
            "from_state": lambda *_: "pending",
            "to_state": state,
        },
        OperatorAction: {
            "alert_id": mark,
            "policy": policy,
            "series_id": series,
            "action": lambda *_: "comment",
        },
        Audit: {"subject": lambda number, _: f"route/{number % 100}"},
        Collection: {
            "attempt": mark,
            "collector": lambda number, _: collectors[number % 4],
            "source": lambda *_: "gateway",
            "status": lambda number, _: "failed" if number % 100 == 0 else "ok",
            "window_end": lambda _, at: at + STEP,
        },
        ContainerSample: {"series_id": series, "state": lambda *_: "running"},
        Delivery: {
            "id": mark,
            "status": lambda *_: "sent",
            "receiver": lambda *_: "default",
            "group_key": lambda number, _: f"g{number % 50}",
        },
        DeliveryAttempt: {"delivery_id": mark},
        Evaluation: {"policy": policy, "state": none},
        PolicyScore: {
            "policy": policy,
            "series_id": series,
            "evaluation_class": lambda *_: "between",
        },
        EventMinute: {"series_id": series},
        MinuteChange: {"family": lambda *_: "request", "token": lambda number, _: f"{number:016x}"},
        MonitorEvent: {
            "event_id": mark,
            "event_type": lambda *_: "gateway",
            "level": lambda *_: "error",
            "rolled_up": lambda *_: True,
        },
        RequestLog: {"byte_offset": lambda number, _: number},
        RequestMinute: {"series_id": series},
        Silence: {"id": mark, "recurrence": none},
    }
    assert {model.__tablename__ for model in filled} == GROWING
    for model, columns in filled.items():
        rows = history(model, end, **columns)
        store.write(lambda c, model=model, rows=rows: bulk_insert(c, model, rows))
    names = [{"family": "request", "fingerprint": f"f{at}", "labels": {}} for at in range(ROWS)]
    store.write(lambda c: bulk_insert(c, Series, names))


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)]
)
def sent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The store, and the statements of each path."""
    folder = tmp_path_factory.mktemp("plans")
    if request.param == "sqlite":
        url = f"sqlite:///{folder}/userdb.sqlite"
    else:
        url = request.getfixturevalue("mariadb_server").create_database("userdb_plans")
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    incident = Incident(folder, now - 40 * MINUTE)
    incident.write(minutes=39)
    shipped = Path(include.__path__[0]) / "policies"
    for path in shipped.glob("*.yaml"):
        if path.name != "routing.yaml":
            shutil.copy(path, folder / "policies")
    store = open_store(url)
    upgrade(store)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in incident.environment(url).items():
            patch.setenv(name, value)
        patch.setenv("MONITORING_WEBHOOK_URL", "http://127.0.0.1:9/nobody")
        fill(store, incident.base - 60 * MINUTE)
        keep_partitions(store, now=now, ahead=1)
        analyze(store, GROWING | {"series"})
        run_chain(store, incident, now, 0, 20)  # registers policies, and fires
        paths = {
            "chain": lambda: run_chain(store, incident, now, 20, 25),
            "upkeep": lambda: run_upkeep(store, now),
            "api": lambda: read_api(store, now),
            "metrics": lambda: chain_numbers.read_numbers(store, now=now, collectors=COLLECTORS),
            "retention": lambda: purge_expired(
                store,
                dict.fromkeys(("request_log", "monitor_event", "request_minute"), 40),
                now=now,
                late=timedelta(days=1),
            ),
        }
        found: dict[str, Statements] = {}
        for name, run in paths.items():
            with recorded(store) as found[name]:
                run()
    yield store, found
    store.close()


def run_chain(store: Store, incident: Incident, now: datetime, first: int, stop: int) -> None:
    window = Window(incident.at(first), incident.at(stop))
    for name in COLLECTORS:
        chain.collect(name, window, store, now=now)
    report = chain.analyze_and_alert(window, store, now=now, send=False)
    assert not report.scores.errors
    assert not report.alerts.errors
    chain.notify(store, now=now, deadline_s=0.2)


def run_upkeep(store: Store, now: datetime) -> None:
    chain.notify(store, now=now, deadline_s=0.2)
    keep_up(store, now=now, checks_for_s=1)
    watch.find_problems(store, now=now, limits=watch.Limits.from_environment())


def requests_pages(client: TestClient, now: datetime) -> list[str]:
    """Both orders of raw requests with every filter, and what leads to their second pages."""
    span = f"from={now - timedelta(hours=24):%Y-%m-%dT%H:%MZ}&to={now:%Y-%m-%dT%H:%MZ}"
    every = (
        "source=a&service=a&route=a&instance=a&outcome=ok&status=200&request_id=a&min_duration_ms=1"
    )
    found = []
    for query in (span, f"{span}&order=duration"):
        first = f"/requests?limit=1&{query}"
        rest = client.get(f"/api/v1{first}").links["next"]["url"]
        found += [first, f"/requests{rest}", f"/requests?{query}&{every}"]
    return found


def read_api(store: Store, now: datetime) -> None:
    _, key = create_key(store, "plans", SCOPES, by="test", now=now)
    app = create_app(login=None)
    app.dependency_overrides[get_store] = lambda: store
    client = TestClient(app, headers={"Authorization": f"Bearer {key}"})
    begin = f"{now - timedelta(hours=6):%Y-%m-%dT%H:%MZ}"
    alert = client.get("/api/v1/alerts?state=firing").json()[0]["id"]
    for path in (
        "/alerts",
        f"/alerts?policy=timeouts&from={begin}",
        f"/alerts?as_of={now:%Y-%m-%dT%H:%MZ}&from={begin}",
        f"/alerts/{alert}",
        f"/alerts/{alert}/history",
        f"/alerts/{alert}/evidence",
        *requests_pages(client, now),
        "/status",
        "/collections",
        "/collections?collector=request_logs",
        "/policies",
        "/evaluations?policy=timeouts",
        "/signals/requests.count/series",
        "/silences",
        "/audit/",
        "/services/",
        "/pull/events",
        "/pull/requests",
        "/pull/containers",
    ):
        answer = client.get(path if path in ("/audit/", "/services/") else f"/api/v1{path}")
        assert answer.status_code == 200, (path, answer.text)
    minute = (now - 3 * MINUTE).isoformat()
    pushed = client.post(
        "/api/v1/requests",
        json={"node": "n", "requests": [{"id": "a", "occurred_at": minute, "status": 200}]},
    )
    assert pushed.status_code == 200, pushed.text


@pytest.mark.parametrize("path", ["chain", "upkeep", "api", "metrics", "retention"])
def test_no_hot_path_scans_a_table_that_grows(sent: Any, path: str) -> None:
    store, found = sent
    assert found[path].found
    scanned = [
        str(one)
        for one in scans(store, found[path], GROWING)
        if not any(one.table == table and part in one.statement for table, part, _ in ALLOWED)
    ]
    assert not scanned, "\n".join(scanned)
