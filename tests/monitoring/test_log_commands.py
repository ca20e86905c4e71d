"""``monitoring logs``: a log's format found, and its requests printed."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from monitoring.cli import app
from monitoring.registry.definition import Registration, instance_key
from monitoring.registry.registration import deregister, register
from monitoring.routes.definition import RouteSpec
from monitoring.routes.table import create_route
from typer.testing import CliRunner

from include.collectors.request_logs.detect import detect, rivals
from include.collectors.request_logs.parse import COLUMNS
from tests.collectors.request_logs import gateway_log
from tests.collectors.request_logs.samples import OPTIONS, SAMPLES
from userdb.store import Store

_BY_FORMAT = {
    name: b"\n".join(sample.line for sample in SAMPLES if sample.format == name) + b"\n"
    for name in {sample.format for sample in SAMPLES}
}


def _run(*args: str | Path) -> tuple[bytes, str, int]:
    """Standard output, error output and exit code."""
    result = CliRunner().invoke(app, ["logs", *(str(arg) for arg in args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout_bytes, result.stderr, result.exit_code


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two requests around a line of garbage, and half a line."""
    path = tmp_path / "access.log"
    line = _BY_FORMAT["traefik_clf"]
    path.write_bytes(line + b"\xff\xfegarbage\n" + line + b"half")
    return path


@pytest.mark.parametrize("name", sorted(set(_BY_FORMAT) - set(OPTIONS)))
def test_a_format_is_found_by_its_lines(name: str) -> None:
    found = detect(_BY_FORMAT[name] * 20)
    assert name in [found[0].name, *rivals(found)]
    assert found[0].share == 1
    if name not in ("apache_combined", "apache_common"):
        assert found[0].name == name


def test_what_no_format_takes_is_said(tmp_path: Path) -> None:
    path = tmp_path / "other.log"
    path.write_bytes(_BY_FORMAT["mapped_json"] + b"garbage\n")
    out, _, code = _run("detect", path)
    assert code == 1
    assert b"no format takes" in out
    assert b"mapped_json" in out


def test_detect_shows_the_first_requests(log: Path) -> None:
    out, _, code = _run("detect", log)
    assert code == 0
    assert b"traefik_clf, likely: it takes 2 of 3 lines" in out
    assert b"172.18.0.3:8080" in out


def test_lines_longer_than_the_format_are_said(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(_BY_FORMAT["apache_log_format"])
    out, _, _ = _run("detect", path)
    assert b"nginx_combined, likely" in out
    assert b"lines have more at their end" in out


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
def test_every_output_has_the_same_requests(log: Path, compression: str) -> None:
    path = log.with_name(log.name + compression)
    if compression == ".gz":
        path.write_bytes(gzip.compress(log.read_bytes()))
    if compression == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(log.read_bytes())
    printed, said, code = _run("parse", path, "--format", "traefik_clf")
    assert code == 0
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [list(row) for row in rows] == [list(COLUMNS)] * 2
    assert rows[0]["time"] == "2026-01-31T10:00:00.000000Z"
    assert rows[0]["host"] is None
    texts = list(csv.DictReader(io.StringIO(_run("parse", path, "--output", "csv")[0].decode())))
    assert [{name: value or None for name, value in row.items()} for row in texts] == [
        {
            name: None
            if value is None
            else f"{value:g}"
            if isinstance(value, float)
            else str(value)
            for name, value in row.items()
        }
        for row in rows
    ]
    table = pa_parquet.read_table(
        io.BytesIO(_run("parse", path, "--output", "parquet")[0])
    ).to_pylist()
    for row in table:
        row["time"] = row["time"].isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert table == rows
    at = log.read_bytes().index(b"\xff")
    assert "traefik_clf: 2 requests, 1 lines rejected" in said
    assert f"rejected at byte {at}: is not a line of Traefik's" in said
    assert "has no end after 4 bytes" in said


def test_options_come_from_the_command_or_from_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.log"
    path.write_bytes(_BY_FORMAT["mapped_json"])
    options = json.dumps(OPTIONS["mapped_json"])
    given = _run("parse", path, "--format", "mapped_json", "--options", options)
    sources = tmp_path / "sources.yaml"
    source = {
        "name": "gateway",
        "paths": [str(path)],
        "format": "mapped_json",
        "options": OPTIONS["mapped_json"],
        # nothing is looked up, so that userdb isn't asked
        "route": {"table": False},
        "instance": {"registry": False},
    }
    sources.write_text(json.dumps({"request_logs": {"sources": [source]}}))
    monkeypatch.setenv("MONITORING_SOURCES", str(sources))
    assert _run("parse", path, "--source", "gateway") == given
    assert json.loads(given[0])["reason"] == "error.kind=deadline"


@pytest.fixture
def looked_up(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of three requests, its source, and what names its routes and instances meanwhile."""
    path = tmp_path / "access.log"
    path.write_bytes(gateway_log.lines([0.5, 5.5, 9.5]))
    settings = gateway_log.settings(tmp_path, route={"template": False})
    (tmp_path / "sources.yaml").write_text(settings.model_dump_json(exclude_unset=True))
    monkeypatch.setenv("MONITORING_SOURCES", str(tmp_path / "sources.yaml"))
    monkeypatch.setenv("USERDB_URL", str(sqlite_store.engine.url))
    at = gateway_log.at

    def enrol(service: str, instance: str, address: str, minute: float) -> None:
        asked = Registration(
            service=service, instance_id=instance, address=address, port=80, ttl_s=9000
        )
        register(sqlite_store, asked, by="test", now=at(minute))

    enrol("sim", "one", "10.1.0.2", -60)
    enrol("shop", "other", "10.1.0.3", -60)
    spec = RouteSpec(name="api", service="shop", path="/api")
    create_route(sqlite_store, spec, by="test", now=at(1))
    deregister(sqlite_store, instance_key("sim", "one"), by="test", now=at(7))
    enrol("sim", "two", "10.1.0.2", 8)
    return path


def test_a_source_is_parsed_as_it_is_collected(looked_up: Path, sqlite_store: Store) -> None:
    printed, said, _ = _run("parse", looked_up, "--source", "gateway")
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [(row["route"], row["instance"], row["service"]) for row in rows] == [
        (None, "one", "sim"),
        ("api", "one", "shop"),
        ("api", "two", "shop"),
    ]
    assert "without the route table" not in said
    settings = gateway_log.settings(looked_up.parent, route={"template": False})
    gateway_log.collect(sqlite_store, settings, 0, 10)
    stored = gateway_log.contents(sqlite_store)["raw"]
    names = ("route", "instance", "service", "path", "status")
    assert [[row[name] for name in names] for row in rows] == [
        [row[name] for name in names] for row in stored
    ]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql+pymysql://u:secret@127.0.0.1:1/userdb", "can't be reached"),
        ("sqlite:///{folder}/empty.sqlite", "has no schema yet"),
    ],
)
def test_a_source_is_parsed_without_userdb_and_says_so(
    looked_up: Path, monkeypatch: pytest.MonkeyPatch, url: str, why: str
) -> None:
    monkeypatch.setenv("USERDB_URL", url.format(folder=looked_up.parent))
    printed, said, code = _run("parse", looked_up, "--source", "gateway")
    assert code == 0
    assert {json.loads(line)["route"] for line in printed.splitlines()} == {None}
    assert "without the route table and the registry, as userdb can't be asked" in said
    assert why in said
    assert "secret" not in said


def test_a_file_with_nothing_to_read_fails(tmp_path: Path) -> None:
    path = tmp_path / "garbage.log"
    path.write_bytes(b"garbage\n" * 100)
    out, said, code = _run("parse", path, "--format", "nginx_json")
    assert (out, code) == (b"", 1)
    assert "0 requests, 100 lines rejected" in said
    assert "and 80 more" in said or "more" in said


def test_an_empty_file_has_no_requests(tmp_path: Path) -> None:
    path = tmp_path / "empty.log"
    path.write_bytes(b"")
    assert _run("parse", path, "--format", "nginx_json")[2] == 0


def test_broken_compression_is_one_clear_line(log: Path) -> None:
    path = log.with_name("cut.log.gz")
    path.write_bytes(gzip.compress(log.read_bytes() * 100)[:-20])
    command = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "monitoring"
    result = subprocess.run(
        [command, "logs", "parse", path, "--format", "traefik_clf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {path} is broken compressed data")
    assert result.stderr.count("\n") == 1
