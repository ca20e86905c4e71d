"""Lines as gateways write them, and lines that nobody should have written."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from include.collectors.request_logs.blocks import MAX_LINE, read_blocks, time_range
from include.collectors.request_logs.formats import format_named, index_formats
from include.collectors.request_logs.formats.base import LogFormat, fixed
from include.collectors.request_logs.formats.nginx_json import LOG_FORMAT, NGINX_JSON
from tests.collectors.request_logs.conftest import ParserOf
from tests.collectors.request_logs.gateway_log import Line, at
from tests.collectors.request_logs.parsing import ALWAYS, parse, parser_of, rows_of
from userdb.errors import ConfigError


def _when(row: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(row["at_us"] / 1e6, UTC)


def _object(**values: Any) -> bytes:
    return json.dumps({"time": "1769853600.5", "status": "200", **values}).encode() + b"\n"


def test_nginx_json() -> None:
    (row,) = rows_of("nginx_json", Line(0.5, 504, "/api/items/17?token=secret", 1234).json())
    assert _when(row) == at(0.5)
    expected = {
        "client": "10.0.0.7",
        "method": "GET",
        "host": "gw.example.org",
        "path": "/api/items/17",
        "status": 504,
        "duration_ms": 1234.0,
        "bytes_sent": 100,
        "user": None,
        "user_agent": "tests",
        "request_id": "abc",
        "service": None,
        "route": "/api/items/{id}",
        "instance": "10.1.0.2:80",
        "outcome": "timeout",
        "outcome_reason": "status=504",
    }
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("service", "route", "names"),
    [
        ("shop~2000ms@http", "shop-api@http", ("shop", "shop-api")),
        ("shop@http", "shop-api@http", ("shop", "shop-api")),
        ("shop@docker", "web@docker", ("shop@docker", "web@docker")),
    ],
)
def test_traefiks_names_of_the_route_table_are_the_tables(
    service: str, route: str, names: tuple[str, str]
) -> None:
    line = {
        "StartUTC": "2026-01-31T10:00:00Z",
        "RequestMethod": "GET",
        "RequestPath": "/",
        "DownstreamStatus": 200,
        "Duration": 1000000,
        "ServiceName": service,
        "RouterName": route,
    }
    (row,) = rows_of("traefik_json", json.dumps(line).encode() + b"\n")
    assert (row["service"], row["route"]) == names


def test_nginx_combined() -> None:
    data = (
        b'2001:db8::1 - ann lee [31/Jan/2026:12:00:00 +0200] "POST /a?b=c HTTP/2.0" 401 7 '
        b'"http://x/" "Agent \\x22quoted\\x22 \\"too\\"" "10.0.0.1"\r\n'
        b'1.2.3.4 - - [31/Jan/2026:10:00:01 +0000] "\\x16\\x03\\x01" 400 150 "-" "-"\n'
        b'1.2.3.4 - - [31/Jan/2026:10:00:02 +0000] "GET / HTTP/1.1" 200 -\n'
    )
    first, scanner, common = rows_of("nginx_combined", data)
    assert _when(first) == datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
    assert (first["client"], first["user"], first["method"], first["path"]) == (
        "2001:db8::1",
        "ann lee",
        "POST",
        "/a",
    )
    assert first["user_agent"] == 'Agent \\x22quoted\\x22 \\"too\\"'
    assert (first["duration_ms"], first["host"], first["instance"]) == (None, None, None)
    assert (scanner["method"], scanner["path"], scanner["status"]) == (None, None, 400)
    assert (scanner["user_agent"], scanner["route"]) == (None, None)
    assert (common["bytes_sent"], common["outcome"]) == (None, "ok")


@pytest.mark.parametrize(
    ("time", "zone", "expected"),
    [
        ("1769853600.123", "UTC", "2026-01-31T10:00:00.123+00:00"),
        (1769853600, "UTC", "2026-01-31T10:00:00+00:00"),
        ("2026-01-31T12:00:00+02:00", "UTC", "2026-01-31T10:00:00+00:00"),
        ("2026-01-31T10:00:00Z", "Asia/Shanghai", "2026-01-31T10:00:00+00:00"),
        ("2026-01-31T18:00:00", "Asia/Shanghai", "2026-01-31T10:00:00+00:00"),
        ("2026-07-31 12:00:00", "Europe/Berlin", "2026-07-31T10:00:00+00:00"),
        ("31/Jan/2026:12:00:00 +0200", "UTC", "2026-01-31T10:00:00+00:00"),
    ],
)
def test_times(time: Any, zone: str, expected: str) -> None:
    (row,) = rows_of("nginx_json", _object(time=time), timezone=zone)
    assert _when(row) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"garbage", "is not JSON"),
        (b"", "is empty"),
        (b'{"time":"1769853600', "is not JSON"),
        (b'{"time":"1769853600","status":"20', "is not JSON"),
        (b"\x00\xff\xfe\x80", "is not JSON"),
        (b'["time"]', "has no time"),
        (b'{"status":"200"}', "has no time"),
        (b'{"time":"yesterday","status":"200"}', "has no time"),
        (b'{"time":"1769853600"}', "has no status"),
        (b'{"time":"1769853600","status":"OK"}', "has no status"),
        (b'{"time":"1769853600","status":"1000"}', "has a status out of range"),
        (b'{"time":"1","status":"200"}', "has a time out of range"),
        (b'{"time":"9000-01-01T00:00:00Z","status":"200"}', "has a time out of range"),
        (b"[" * 300_000, "is not JSON"),
        (b'{"time":"' + b"9" * 3_000_000, "is not JSON"),
    ],
)
def test_a_bad_line_stops_nothing(line: bytes, why: str) -> None:
    good = _object()
    with parser_of("nginx_json") as parser:
        parsed, rows = parse(parser, good + line + b"\n" + good)
    assert (len(rows), parsed.lines, parsed.rejected) == (2, 2, 1)
    (sample,) = parsed.samples
    assert (sample.where, sample.why) == (str(len(good)), why)
    assert len(sample.text) <= 200


@pytest.mark.parametrize(
    "values",
    [
        {"host": "a\x00b"},
        {"request_uri": "/" + "x" * 3_000_000},
        {"http_user_agent": "\ud83d\ude00" * 600},
        {"upstream_addr": ""},
        {"request_time": "-", "body_bytes_sent": ""},
        {"body_bytes_sent": "-5", "request_time": "-1"},
        {"request_time": "1e300"},
        {"request_method": {"nested": [1]}},
    ],
)
def test_odd_values_are_taken(values: dict[str, Any]) -> None:
    (row,) = rows_of("nginx_json", _object(**values))
    assert "\x00" not in str(row)
    assert len(row["path"] or "") <= 2048
    assert len(row["user_agent"] or "") <= 512
    assert row["bytes_sent"] is None or row["bytes_sent"] >= 0


def test_invalid_utf8_keeps_offsets() -> None:
    good = _object()
    bad = b'{"time":"1769853600","status":"404","request_uri":"/\xff\xfe"}\n'
    rows = rows_of("nginx_json", good + bad + good)
    assert [row["byte_offset"] for row in rows] == [0, len(good), len(good) + len(bad)]
    assert rows[1]["path"] == "/\ufffd\ufffd"


def test_a_hole_of_zeros_after_truncation() -> None:
    """Where a writer goes on at its old offset, what was truncated reads as zeros."""
    good = _object()
    with parser_of("nginx_json") as parser:
        parsed, rows = parse(parser, b"\x00" * (MAX_LINE + 5_000_000) + good + good)
    assert (len(rows), parsed.rejected) == (1, 1)
    assert parsed.samples[0].why == "is longer than 8 MiB"
    assert rows[0]["byte_offset"] == MAX_LINE + 5_000_000 + len(good)


def test_refused_lines_count_at_the_line_before_them() -> None:
    minute = 60_000_000
    start = int(at(0).timestamp() * 1e6)
    data = b"top\n" + b"".join(Line(m).json() + b"bad\n" for m in range(5))
    counts = []
    with parser_of("nginx_json") as parser:
        for first in range(5):
            parsed = parser.parse(
                read_blocks(io.BytesIO(data), 0, None, 400),
                0,
                ALWAYS,
                window_us=(start + first * minute, start + (first + 1) * minute),
                stop_us=ALWAYS,
            )
            counts.append(parsed.rejected)
    assert counts == [2, 1, 1, 1, 1]


def test_blocks_of_any_size_hold_the_same_lines() -> None:
    data = b"".join(Line(number / 10).json() for number in range(50)) + b"half a li"
    whole = [
        row for block in read_blocks(io.BytesIO(data), 0, None) for row in block.table().to_pylist()
    ]
    assert len(whole) == 50
    for size in (1, 7, 333, 4096):
        assert whole == [
            row
            for block in read_blocks(io.BytesIO(data), 0, None, size)
            for row in block.table().to_pylist()
        ]


def test_seeking_reads_little_and_misses_nothing() -> None:
    class Counting(io.BytesIO):
        total = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.total += len(data)
            return data

    data = b"".join(Line(number / 1000).json() for number in range(30_000))
    with parser_of("nginx_json") as parser:
        for minute in (0, 7.5, 29.9, 40):
            stream = Counting(data)
            target = int(at(minute).timestamp() * 1e6)
            offset, end = time_range(
                stream, len(data), target, target + 5 * 60_000_000, parser.latest_time
            )
            assert offset == 0 or data[offset - 1 : offset] == b"\n"
            assert stream.total < 3_000_000
            wanted = min(int(minute * 1000), 30_000)
            before = data[:offset].count(b"\n")
            assert before <= wanted <= before + 2500
            last = min(wanted + 5000, 30_000)
            read = before + data[offset:end].count(b"\n")
            assert last < read <= last + 2500 or (end == len(data) and last == 30_000)


def test_service_and_route_rules() -> None:
    data = b"".join(
        _object(host=host, request_uri=uri, service=service)
        for host, uri, service in [
            ("a.example.org:8080", "/api/1", ""),
            ("A.example.org", "/apix/1", ""),
            ("other", "/api", "named"),
            ("other", "/f/0a1b2c3d4e5f6071/9/x", ""),
            ("other", "/u/123e4567-e89b-12d3-a456-426614174000", ""),
        ]
    )
    rows = rows_of(
        "nginx_json",
        data,
        service={
            "rules": [{"host": "a.example.*", "prefix": "/api", "name": "it's"}],
            "field": "service",
            "name": "rest",
        },
        route={"rules": [{"prefix": "/api/", "name": "api"}, {"regex": "x/\\d$", "name": "x"}]},
    )
    assert [row["service"] for row in rows] == ["it's", "rest", "named", "rest", "rest"]
    assert [row["route"] for row in rows] == ["api", "x", "api", "/f/{id}/{id}/x", "/u/{id}"]


_TEMPLATES = {
    # ids
    "/a/17/b": "/a/{id}/b",
    "/1/2/3/": "/{id}/{id}/{id}/",
    "/u/123e4567-e89b-12d3-a456-426614174000/x": "/u/{id}/x",
    "/c/d41d8cd98f00b204e9800998ecf8427e": "/c/{id}",
    "/c/DEADBEEFDEADBEEF": "/c/{id}",
    "/d/2026-01-31": "/d/{id}",
    "/d/2026-01/2026-01-31T10:00:00.5Z/x": "/d/{id}/{id}/x",
    "/d/2026-01-31T10%3A00": "/d/{id}",
    "/ip/10.0.0.7/x": "/ip/{id}/x",
    "/m/ann@example.org": "/m/{id}",
    "/m/ann.o%2Bx%40mail.example.org/edit": "/m/{id}/edit",
    "/t/01ARZ3NDEKTSV4RRFFQ69G5FAV": "/t/{id}",
    "/t/V1StGXR8_Z5jdHi6B-myT/x": "/t/{id}/x",
    "/t/dGhpcyBpcyBhIHRva2VuMTIz==": "/t/{id}",
    "/t/mfrggzdfmztwq2lknnwg23tpob": "/t/{id}",
    "/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc": "/t/{id}",
    # words
    "/": "/",
    "/api/v1/items": "/api/v1/items",
    "/2.0/users": "/2.0/users",
    "/@scope/package": "/@scope/package",
    "/blog/a-title-that-is-long-and-has-no-id": "/blog/a-title-that-is-long-and-has-no-id",
    "/blog/top-10-things-to-know-in-2026-about": "/blog/top-10-things-to-know-in-2026-about",
    "/internationalization/Internationalisation": "/internationalization/Internationalisation",
    "/static/app.3f2a9b.js": "/static/app.3f2a9b.js",
    "/facade/deadbeef": "/facade/deadbeef",
    "/caf%C3%A9": "/caf%C3%A9",
}


def test_ids_in_paths_are_told_from_words(shared_parser: ParserOf) -> None:
    data = b"".join(_object(request_uri=path) for path in _TEMPLATES)
    _, rows = parse(shared_parser("nginx_json"), data)
    assert {row["path"]: row["route"] for row in rows} == _TEMPLATES


def test_errors_of_configuration() -> None:
    with pytest.raises(ConfigError, match=r"'gateway': there is no log format 'w3c'; set format"):
        format_named("w3c", "gateway")
    with pytest.raises(ConfigError, match="nginx_json' is registered twice"):
        index_formats([fixed(NGINX_JSON), fixed(NGINX_JSON)])
    with pytest.raises(ConfigError, match=r"route 'x'.*not valid in RE2"):
        parser_of("nginx_json", route={"rules": [{"regex": "(?=a)", "name": "x"}]})
    with pytest.raises(ValueError, match="occurred_at and status"):
        LogFormat("x", "line", {"colour": "line"}, "is wrong")


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"timezone": "Mars/Olympus"}, "is not a time zone"),
        ({"service": {"rules": [{"name": "x"}]}}, "give a host, a prefix or both"),
        ({"route": {"rules": [{"name": "x"}]}}, "either a prefix or a regex"),
        ({"route": {"rules": [{"name": "x", "regex": "("}]}}, "is not a regular expression"),
        ({"paths": []}, "at least 1 item"),
        ({"colour": 1}, "Extra inputs"),
    ],
)
def test_errors_of_settings(section: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parser_of("nginx_json", **section)


def test_the_published_log_format_is_a_directive() -> None:
    assert LOG_FORMAT.startswith("log_format monitoring escape=json\n")
    assert LOG_FORMAT.endswith("}';\n")
