"""OpenTelemetry's and Sentry's own SDKs, as everybody has them, report to a real server."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import sentry_sdk
from fastapi import FastAPI
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.keys import create_key
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from sqlalchemy import select

from tests.monitoring.api.serving import serve
from userdb.models import MonitorEvent
from userdb.store import Store


@dataclass(frozen=True)
class Server:
    """The API on its own at ``url``, and mounted as in Airflow at ``mounted``."""

    url: str
    mounted: str
    key: str
    store: Store

    def rows(self) -> list[Any]:
        with self.store.read() as connection:
            return list(connection.execute(select(MonitorEvent).order_by(MonitorEvent.occurred_at)))


@pytest.fixture
def server(sqlite_store: Store) -> Iterator[Server]:
    app = create_app(login=None)
    app.dependency_overrides[get_store] = lambda: sqlite_store
    outer = FastAPI()
    outer.mount("/monitoring", app)
    outer.mount("/", app)
    _, key = create_key(sqlite_store, "sdk", ["events:write"], by="test", now=datetime.now(UTC))
    with serve(outer) as url:
        yield Server(url, f"{url}/monitoring", key, sqlite_store)
    app.dependency_overrides.clear()


def fail() -> None:
    raise KeyError("no such order")


# --- OpenTelemetry --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:`LoggingHandler`:DeprecationWarning")
@pytest.mark.parametrize("compression", [Compression.Gzip, Compression.NoCompression])
def test_opentelemetrys_sdk_reports_logs_and_exceptions(
    server: Server, compression: Compression
) -> None:
    exporter = OTLPLogExporter(
        endpoint=f"{server.mounted}/v1/logs",
        headers={"Authorization": f"Bearer {server.key}"},
        compression=compression,
    )
    resource = Resource({"service.name": "sim-7", "service.instance.id": "sim-7-1"})
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = logging.getLogger("app.orders")
    logger.setLevel(logging.INFO)
    handler = LoggingHandler(logger_provider=provider)
    logger.addHandler(handler)
    began = datetime.now(UTC)
    try:
        logger.critical("disk %s is full", "sda")
        for _ in range(2):
            try:
                fail()
            except KeyError:
                logger.exception("order failed", extra={"order": 7})
        assert provider.force_flush()
    finally:
        logger.removeHandler(handler)
        provider.shutdown()
    first, second, third = server.rows()
    assert (first.level, first.message, first.service, first.instance, first.source) == (
        "critical",
        "disk sda is full",
        "sim-7",
        "sim-7-1",
        "app.orders",
    )
    assert began <= first.occurred_at <= datetime.now(UTC)
    assert (second.level, second.message, second.exception_type) == (
        "error",
        "order failed",
        "KeyError",
    )
    assert second.detail["attributes"]["order"] == 7
    assert "in fail" in second.detail["exception"]["stack"]
    assert second.fingerprint == third.fingerprint is not None
    assert second.event_id != third.event_id


def post(server: Server, body: bytes, **headers: str) -> tuple[int, str, bytes]:
    request = urllib.request.Request(
        f"{server.url}/v1/logs", body, {"X-API-Key": server.key, **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers["content-type"], response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], error.read()


def test_records_that_are_not_stored_are_a_partial_success_and_a_repetition_is_none(
    server: Server,
) -> None:
    now = int(datetime.now(UTC).timestamp())
    records = [
        {"timeUnixNano": f"{seconds}000000000", "body": {"stringValue": "m"}}
        for seconds in (now, now - 400 * 86400, now + 86400)
    ]
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()
    headers = {"Content-Type": "application/json"}
    for _ in range(2):
        status, kind, answer = post(server, body, **headers)
        assert (status, kind) == (200, "application/json")
        partial = json.loads(answer)["partialSuccess"]
        assert partial["rejectedLogRecords"] == "2"
        assert partial["errorMessage"].startswith("record 1: occurred_at: ")
        assert len(server.rows()) == 1


@pytest.mark.parametrize("kind", ["application/json", "application/x-protobuf"])
def test_the_answer_has_the_requests_media_type_also_where_it_can_not_be_read(
    server: Server, kind: str
) -> None:
    assert post(server, b"\xff\xff", **{"Content-Type": kind})[:2] == (400, kind)
    empty = b"{}" if kind == "application/json" else b""
    assert post(server, empty, **{"Content-Type": kind})[:2] == (200, kind)
    assert post(server, b"x", **{"Content-Type": "text/plain"})[0] == 415


# --- Sentry ---------------------------------------------------------------------------------------


@pytest.fixture(params=["br", "gzip"])
def sentry(server: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    # the SDK's own choice where brotli is installed, as here, and where it isn't
    scheme, _, rest = server.mounted.partition("://")
    sentry_sdk.init(
        dsn=f"{scheme}://{server.key}@{rest}/1",
        release="1.2",
        server_name="node-1",
        default_integrations=False,
        traces_sample_rate=1.0,
        _experiments={} if request.param == "br" else {"transport_compression_algo": "gzip"},
    )
    yield server
    sentry_sdk.get_client().close()
    sentry_sdk.init()


def test_sentrys_sdk_reports_exceptions_and_messages(sentry: Server) -> None:
    sentry_sdk.set_tag("service", "sim-7")
    ids = []
    for _ in range(2):
        try:
            fail()
        except KeyError as error:
            ids.append(sentry_sdk.capture_exception(error))
    ids.append(sentry_sdk.capture_message("disk is full", level="fatal"))
    with sentry_sdk.start_transaction(name="left out"):
        pass
    sentry_sdk.flush(10)
    first, second, third = sentry.rows()
    assert [row.event_id for row in (first, second, third)] == ids
    assert (first.exception_type, first.level, first.service, first.instance) == (
        "KeyError",
        "error",
        "sim-7",
        "node-1",
    )
    assert "no such order" in first.message
    assert "in fail" in first.detail["exception"]["stack"]
    assert first.fingerprint == second.fingerprint is not None
    assert (third.level, third.message) == ("critical", "disk is full")
    assert third.fingerprint != first.fingerprint


def test_the_same_sentry_event_is_stored_once(sentry: Server) -> None:
    for _ in range(2):
        sentry_sdk.capture_event({"event_id": "a" * 32, "message": "m", "level": "error"})
        sentry_sdk.flush(10)
    assert len(sentry.rows()) == 1


def test_a_dsn_with_another_key_reports_nothing(server: Server) -> None:
    client = sentry_sdk.Client(dsn=server.url.replace("://", "://mon_wrong@") + "/1")
    client.capture_event({"message": "m"})
    client.close(10)
    assert server.rows() == []
