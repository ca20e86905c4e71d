"""deploy/grafana: the dashboard is whole, and each of its queries finds something in a real chain.

Grafana itself is not run: that it draws the panels is not proven here.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pymysql
import pytest
import requests
import yaml
from monitoring import chain
from monitoring.keys import create_key
from monitoring.notify import Receiver
from monitoring.signals import COLLECTORS
from monitoring.window import Window

from tests.incident import MINUTE, Incident
from tests.notify.hooks import answer, listening
from tests.servers.mariadb import MariaDbServer
from tests.servers.monitoring_serve import run_serve
from tests.servers.prometheus import run_prometheus
from userdb.migrate import upgrade
from userdb.store import open_store

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
DASHBOARDS = {
    path.name: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((FOLDER / "dashboards").glob("*.json"))
}
SOURCES = {
    one["uid"]: one
    for path in (FOLDER / "provisioning" / "datasources").glob("*.yaml")
    for one in yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"]
}
PANELS = [panel for board in DASHBOARDS.values() for panel in board["panels"]]
TARGETS = [
    pytest.param(target, id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel.get("targets", ())
]


def of_kind(kind: str) -> list[Any]:
    return [one for one in TARGETS if SOURCES[one.values[0]["datasource"]["uid"]]["type"] == kind]


def expanded(statement: str, start: datetime, end: datetime) -> str:
    """The SQL that Grafana makes of its macros, as its page on the MySQL data source says."""
    low, high = int(start.timestamp()), int(end.timestamp())
    text = re.sub(
        r"\$__timeFilter\(([\w.]+)\)",
        rf"\1 BETWEEN FROM_UNIXTIME({low}) AND FROM_UNIXTIME({high})",
        statement,
    )
    text = re.sub(
        r"\$__timeGroupAlias\(([\w.]+), *'(\d+)m'\)",
        lambda m: f'UNIX_TIMESTAMP({m[1]}) DIV {int(m[2]) * 60} * {int(m[2]) * 60} AS "time"',
        text,
    )
    text = text.replace("$__unixEpochFrom()", str(low)).replace("$__unixEpochTo()", str(high))
    assert "$" not in text.replace("'$.", ""), text
    return text


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    written = Incident(tmp_path_factory.mktemp("grafana"), now - 25 * MINUTE)
    written.write(25)
    lines = written.log.read_text().splitlines(keepends=True)
    written.log.write_text("".join([*lines[:50], "no request\n", *lines[50:]]))
    return written


@pytest.fixture(scope="module")
def userdb(incident: Incident, mariadb_server: MariaDbServer) -> Iterator[str]:
    """What a chain leaves that collected an incident, then lost its log, and has two receivers."""
    url = mariadb_server.create_database("userdb_grafana")
    store = open_store(url)
    upgrade(store)
    with (
        pytest.MonkeyPatch.context() as patch,
        listening() as good,
        listening(answer(400, b"no such hook")) as bad,
    ):
        for name, value in incident.environment(url).items():
            patch.setenv(name, value)
        now = datetime.now(UTC)
        for first, stop in ((0, 5), (5, 10), (10, 15), (15, 20)):
            window = Window(incident.at(first), incident.at(stop))
            for name in COLLECTORS:
                chain.collect(name, window, store, now=now, run_id=f"scheduled__{stop}")
            chain.analyze_and_alert(window, store, now=now, send=False)
        incident.write_sources([str(incident.folder / "gone.log")])
        window = Window(incident.at(20), incident.at(25))
        chain.collect("request_logs", window, store, now=now, run_id="scheduled__25")
        receivers = [Receiver("good", good.url), Receiver("bad", bad.url)]
        told = chain.notify(store, now=now, receivers=receivers)
        assert (told.sent, told.dead) == (1, 1)
    store.close()
    mariadb_server.execute(
        "CREATE USER reader@127.0.0.1 IDENTIFIED BY 'r'",
        "GRANT SELECT ON userdb_grafana.* TO reader@127.0.0.1",
    )
    yield url
    mariadb_server.execute("DROP USER reader@127.0.0.1", "DROP DATABASE userdb_grafana")


@pytest.mark.parametrize("board", DASHBOARDS.values(), ids=list(DASHBOARDS))
def test_a_dashboard_is_whole(board: dict[str, Any]) -> None:
    assert board["uid"]
    assert board["title"]
    panels = board["panels"]
    ids = [one["id"] for one in panels]
    assert len(ids) == len(set(ids))
    for one in panels:
        place = one["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, one["title"]
        if one["type"] == "row":
            continue
        assert one["type"] in ("stat", "timeseries", "table")
        letters = [target["refId"] for target in one["targets"]]
        assert letters
        assert len(letters) == len(set(letters))
        for target in one["targets"]:
            assert target["datasource"] == one["datasource"]
            source = SOURCES[target["datasource"]["uid"]]
            assert source["type"] == target["datasource"]["type"]
            assert target["expr" if source["type"] == "prometheus" else "rawSql"]
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_titles_and_sources_are_each_their_own() -> None:
    titles = [one["title"] for one in PANELS]
    assert len(titles) == len(set(titles))
    uids = [board["uid"] for board in DASHBOARDS.values()]
    assert len(uids) == len(set(uids))
    assert {one["type"] for one in SOURCES.values()} == {"mysql", "prometheus"}
    assert sum(bool(one.get("isDefault")) for one in SOURCES.values()) == 1
    text = (FOLDER / "provisioning" / "dashboards" / "monitoring.yaml").read_text(encoding="utf-8")
    (provider,) = yaml.safe_load(text)["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


def test_no_secret_stands_in_the_files() -> None:
    for path in FOLDER.rglob("*.y*ml"):
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        for source in found.get("datasources", ()):
            for value in source.get("secureJsonData", {}).values():
                assert value.startswith("$__file{"), path


@pytest.mark.mariadb
@pytest.mark.parametrize("target", of_kind("mysql"))
def test_a_panels_sql_finds_rows(
    target: dict[str, Any], userdb: str, mariadb_server: MariaDbServer
) -> None:
    settings = SOURCES["monitoring-userdb"]["jsonData"]
    now = datetime.now(UTC)
    statement = expanded(target["rawSql"], now - timedelta(hours=6), now)
    with (
        pymysql.connect(
            host="127.0.0.1",
            port=mariadb_server.port,
            user="reader",
            password="r",
            database="userdb_grafana",
            init_command=f"SET time_zone = '{settings['timezone']}'",
        ) as connection,
        connection.cursor() as cursor,
    ):
        assert cursor.execute(statement) > 0
        columns = [one[0] for one in cursor.description or ()]
        rows = cursor.fetchall()
    if target["format"] == "time_series":
        assert columns[0] == "time"
        assert rows == tuple(sorted(rows, key=lambda row: row[0]))
        values = [value for row in rows for value in row[1:] if not isinstance(value, str)]
        assert any(value is not None and value > 0 for value in values)
        # the incident's, and not some hours off
        first = rows[0][0]
        at = first if isinstance(first, datetime) else datetime.fromtimestamp(int(first), UTC)
        assert abs((now - at.replace(tzinfo=UTC)).total_seconds()) < 3600
    else:
        assert all(len(row) == len(columns) for row in rows)


@pytest.mark.mariadb
@pytest.mark.prometheus
def test_every_expression_finds_series_in_a_prometheus_that_scrapes_the_chain(
    userdb: str, incident: Incident, tmp_path: Path
) -> None:
    store = open_store(userdb)
    now = datetime.now(UTC)
    _, key = create_key(
        store, "prometheus", ["read", "events:write"], by="test", now=now, expires_at=None
    )
    store.close()
    program = tmp_path / "monitoring"
    code = "from monitoring.cli import main; main()"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    program.chmod(0o755)
    key_file = tmp_path / "key"
    key_file.write_text(key)
    environment = {"PATH": "/usr/bin:/bin", **incident.environment(userdb)}
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = configuration["scrape_configs"]
    job["authorization"]["credentials_file"] = str(key_file)
    with run_serve([program], environment, tmp_path) as url:
        with requests.Session() as session:
            session.trust_env = False
            sent = session.post(
                f"{url}/api/v1/events",
                json={"message": "failed"},
                headers={"X-API-Key": key},
                timeout=60,
            )
            assert sent.status_code == 200, sent.text
        job["static_configs"] = [{"targets": [url.removeprefix("http://")]}]
        job["scrape_interval"] = job["scrape_timeout"] = "2s"
        with run_prometheus(configuration) as prometheus:
            waiting = {one.values[0]["expr"] for one in of_kind("prometheus")}
            assert len(waiting) > 10
            end = time.monotonic() + 120
            while waiting:
                waiting -= {one for one in waiting if prometheus.query(one)}
                assert time.monotonic() < end, waiting
                time.sleep(0.2)
            (up,) = prometheus.query('up{job="monitoring"}')
            assert up["value"][1] == "1"
