"""docs/operating/metrics.md is true: its rules are Prometheus' own, its account can be made, and
OpenTelemetry gets what StatsD gets."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from tests.packaging.operating_page import ROOT, Shell, blocks, page
from tests.servers.mariadb import MariaDbServer

#: What a task's process does at its beginning and its end, and one window in between.
_TASK = """
from datetime import UTC, datetime, timedelta
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
from monitoring import run_metrics
from monitoring.alerts.history import AlertReport
from monitoring.evaluation import ScoreReport
from monitoring.notify import NotifyReport
from userdb.ledger import CollectionReport, SourceReport
end = datetime.now(UTC)
source = SourceReport("s", "ok", rows=7)
report = CollectionReport("pull", end - timedelta(minutes=5), end, (source,), end, 0.25)
run_metrics.collected(report, now=end + timedelta(seconds=9), is_live=True)
run_metrics.scored(ScoreReport(evaluations=5))
run_metrics.alerts_changed(AlertReport(firing=2))
run_metrics.notified(NotifyReport(sent=3))
"""


def settings(number: int) -> dict[str, str]:
    return dict(line.split("=", 1) for line in blocks("metrics", "ini")[number].splitlines())


@pytest.mark.airflow
def test_what_the_page_lists_goes_to_an_opentelemetry_collector(tmp_path: Path) -> None:
    exported: list[ExportMetricsServiceRequest] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            exported.append(ExportMetricsServiceRequest.FromString(body))
            answer = ExportMetricsServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        given = {
            name: value.replace(
                "http://collector.example.com:4318", f"http://127.0.0.1:{server.server_port}"
            )
            for name, value in settings(1).items()
        }
        done = subprocess.run(
            [sys.executable, "-c", _TASK],
            env={
                **{name: one for name, one in os.environ.items() if "proxy" not in name.lower()},
                "AIRFLOW_HOME": str(tmp_path),
                **given,
            },
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    came = {
        metric.name: metric.WhichOneof("data")
        for one in exported
        for resource in one.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    listed = dict(re.findall(r"^\| `(monitoring\.[\w.]+)` \| (\w+) \|", page("metrics"), re.M))
    kinds = {
        "counter": "sum",
        "gauge": "gauge",
        "timer": came["airflow.monitoring.collect.pull.duration"],
    }
    assert "histogram" in str(kinds["timer"])
    assert {name: kind for name, kind in came.items() if ".monitoring." in name} == {
        f"airflow.{name}".replace("COLLECTOR", "pull"): kinds[kind] for name, kind in listed.items()
    }


@pytest.mark.prometheus
def test_the_rules_of_the_page_are_prometheus_own(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(blocks("metrics", "yaml")[0], encoding="utf-8")
    told = set(re.findall(r"`(monitoring_\w+)`", (ROOT / "docs" / "reads.md").read_text("utf-8")))
    assert (
        set(re.findall(r"monitoring_\w+", yaml.safe_dump(yaml.safe_load(rules.read_text()))))
        <= told
    )
    promtool = shutil.which("promtool")
    assert promtool is not None
    for arguments in (
        ["check", "rules", str(rules)],
        ["check", "config", "--syntax-only", str(ROOT / "deploy" / "grafana" / "prometheus.yml")],
    ):
        done = subprocess.run(
            [promtool, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.mariadb
def test_the_account_of_the_page_may_read_and_no_more(
    tmp_path: Path, mariadb_server: MariaDbServer
) -> None:
    mariadb_server.execute("DROP DATABASE IF EXISTS userdb", "CREATE DATABASE userdb")
    (tmp_path / ".my.cnf").write_text(
        f"[client]\nsocket={mariadb_server.folder / 's'}\nuser=root\n"
    )
    shell = Shell(tmp_path, {})
    (block,) = blocks("metrics")
    try:
        shell(block)
        granted = shell("mariadb -N -e \"SHOW GRANTS FOR 'reader'@'%'\"")
        assert "GRANT SELECT ON `userdb`.* TO `reader`@`%`" in granted
        assert "GRANT ALL" not in granted
    finally:
        mariadb_server.execute("DROP DATABASE userdb", "DROP USER IF EXISTS 'reader'@'%'")


def test_the_dashboard_that_the_page_names_is_there() -> None:
    board = json.loads(
        (ROOT / "deploy" / "grafana" / "dashboards" / "chain.json").read_text(encoding="utf-8")
    )
    assert board["title"] in re.sub(r"\s+", " ", page("metrics"))
