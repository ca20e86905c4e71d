"""docs/reporting.md is true: its code reports what it says, its settings are those there are."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

from include.reporting import HttpSettings, flush_events
from include.reporting.report import _SETTINGS
from tests.servers.events_api import KEY, run_events_api

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reporting.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
#: | `NAME` | meaning | `default` or words |
TABLE = dict(re.findall(r"^\| `([A-Z_]+)` \|.*\| (.*) ?\|$", PAGE, re.M))
FIELDS = {
    "MONITORING_DURABLE": "durable",
    "MONITORING_QUEUE_SIZE": "queue_size",
    "MONITORING_BATCH_EVENTS": "batch_events",
    "MONITORING_TIMEOUT": "timeout_s",
    "MONITORING_FLUSH_TIMEOUT": "flush_s",
}


@pytest.fixture
def api(tmp_path, monkeypatch):
    with run_events_api(tmp_path / "api") as server:
        monkeypatch.setenv("MONITORING_URL", server.url)
        monkeypatch.setenv("MONITORING_API_KEY", KEY)
        monkeypatch.setenv("MONITORING_SPOOL", str(tmp_path / "spool"))
        yield server


def run(name):
    (block,) = [one for one in BLOCKS if name in one]
    code: dict = {}
    exec(compile(block, "docs/reporting.md", "exec"), code)
    return code


def test_calls_decorators_and_blocks_report(api):
    run("def simulate")["nightly"]()
    assert flush_events(10)
    first, second = api.events()
    assert (first["message"], first["level"], first["detail"]) == (
        "simulation 42 failed",
        "critical",
        {"job": 42},
    )
    # by the innermost
    assert (second["exception_type"], second["service"]) == ("LookupError", "sim-runner")


def test_log_records_are_reported(api):
    logger = logging.getLogger("business")
    run("GatewayExceptionHandler(")
    try:
        logger.error("down")
    finally:
        logger.handlers.clear()
    assert flush_events(10)
    assert [one["message"] for one in api.events()] == ["down"]


def test_the_application_reports_refused_access(api):
    app = run("add_middleware")["app"]

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return (await client.get("/orders/7?token=hunter2")).status_code

    assert asyncio.run(ask()) == 403
    assert flush_events(10)
    (event,) = api.events()
    assert event["detail"]["kind"] == "auth_failure"
    assert event["detail"]["request"]["route"] == "/orders/{number}"


def test_every_setting_is_in_the_table():
    named = {*_SETTINGS, "MONITORING_SERVICE", "MONITORING_INSTANCE"} - {"AIRFLOW_CONN_USERDB"}
    assert set(TABLE) == named


@pytest.mark.parametrize(("name", "field"), FIELDS.items())
def test_defaults_are_those_of_the_table(name, field):
    (default,) = [one.default for one in fields(HttpSettings) if one.name == field]
    assert TABLE[name].strip().strip("`") == str(default).lower().removesuffix(".0")


def test_the_largest_spool_is_that_of_the_table():
    megabytes = int(TABLE["MONITORING_SPOOL_MAX_MB"].strip(" `"))
    assert HttpSettings("http://h").spool_bytes == megabytes * 2**20
