"""Lines that nobody should have written: in every format they are counted, and stop nothing."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.collectors.request_logs.blocks import MAX_LINE
from tests.collectors.request_logs.conftest import ParserOf
from tests.collectors.request_logs.parsing import parse, parser_of, rows_of
from tests.collectors.request_logs.samples import SAMPLES, Sample


def _hard(good: bytes) -> dict[str, bytes]:
    """Lines that are none of the format, by what is wrong with them."""
    middle = len(good) // 2
    return {
        "garbage": b"\x16\x03\x01\x02\x00\xff\xfe\x80",
        "zeros": b"\x00" * 1000,
        "empty": b"",
        "blank": b"   \r",
        "cut at its end": good[:middle],
        "cut at its start": good[middle:],
        "a quote without an end": good[:middle] + b'"' + b"x" * 200_000,
        "quotes": b'"' * 100_000,
        "backslashes": b'{"a":"' + b"\\" * 100_001,
        "nested": b"[" * 50_000,
        "another program's": b"2026-01-31 10:00:00 WARN something went wrong",
        "JSON that is no object": b'["2026-01-31T10:00:00Z", 200]',
        "JSON of another kind": b'{"level":3,"message":"started"}',
        "a number": b"200",
    }


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_hard_lines_are_refused_where_they_stand(sample: Sample, shared_parser: ParserOf) -> None:
    good = sample.line + b"\n"
    hard = _hard(sample.line)
    if sample.format == "haproxy_http":
        # it is found behind any prefix, as syslog has many
        del hard["cut at its start"]
    if sample.format == "nginx_error":
        # a message has no form: one that was cut is one
        for name in ("cut at its end", "a quote without an end"):
            del hard[name]
    data, offsets = good, []
    for line in hard.values():
        offsets.append(len(data))
        data += line + b"\n" + good
    parsed, rows = parse(shared_parser(sample.format, options=sample.options), data)
    assert len(rows) == len(hard) + 1
    assert (parsed.rejected, parsed.other) == (len(hard), 0)
    assert [int(refused.where) for refused in parsed.samples] == offsets[: len(parsed.samples)]
    assert all(len(refused.text) <= 200 for refused in parsed.samples)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_line_without_its_end_waits_for_it(sample: Sample, shared_parser: ParserOf) -> None:
    good = sample.line + b"\n"
    parser = shared_parser(sample.format, options=sample.options)
    for cut in (len(sample.line) // 2, len(sample.line)):
        parsed, rows = parse(parser, good + sample.line[:cut])
        assert (len(rows), parsed.rejected, parsed.read_to) == (1, 0, len(good))
    assert parse(parser, b"")[0].lines == 0


_ODD = [
    *("", "-", "null", "true", "nan", "inf", "infinity", "-infinity", "epoch", "-1", "0", "1e400"),
    *("9" * 400, "-9223372036854775809", "9223372036854775807", "1e18", "0x1F", "١٢٣", " 200 "),
    *("294247-01-10T04:00:54.775807", "290309-12-22 (BC) 00:00:00", "2026-02-30T25:61:61Z"),
    *("31/Dec/9999:23:59:59 +0000", "00/Foo/0000:99:99:99 +9999", "31/Jan/2026:10:00:00 +9999"),
    *("9999/99/99 99:99:99", "2026-01-31T10:00:00+99:99", "2026-01-31 10:00:00 Mars/Olympus"),
    *("[::1%eth0]:80", "::", "a,b,,c", "%zz%", "\u202e\ufeff", "\x00", "\\", "x" * 70_000),
]


def _with_odd_values(sample: Sample) -> list[bytes]:
    """The sample's line with each of its parts in turn replaced by each odd value."""
    try:
        document = json.loads(sample.line)
    except ValueError:
        parts = re.split(r'([ "\[\],:]+)', sample.line.decode())
        return [
            "".join([*parts[:at], odd, *parts[at + 1 :]]).encode()
            for at in range(0, len(parts), 2)
            for odd in _ODD
        ]
    lines = []

    def replace(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            kept = node[key]
            for odd in [*_ODD, None, True, [], {}, [[1]], {"a": {}}, -1, 10**400, 1e300, -0.0]:
                node[key] = odd
                lines.append(json.dumps(document).encode())
            node[key] = kept
            if isinstance(kept, (dict, list)):
                replace(kept)

    replace(document)
    return lines


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_odd_values_are_rows_or_refused_one_by_one(sample: Sample, shared_parser: ParserOf) -> None:
    lines = _with_odd_values(sample)
    data = b"".join(line + b"\n" + sample.line + b"\n" for line in lines)
    parsed, rows = parse(shared_parser(sample.format, options=sample.options), data)
    assert parsed.lines + parsed.other + parsed.rejected == 2 * len(lines) == data.count(b"\n")
    assert len(rows) == parsed.lines >= len(lines)
    for row in rows:
        assert row["duration_ms"] is None or 0 <= row["duration_ms"] <= 1e9
        assert row["bytes_sent"] is None or row["bytes_sent"] >= 0
        assert row["status"] is None or 0 <= row["status"] <= 999
        assert all(value not in ("", "-") for value in row.values())


def test_a_line_of_megabytes_is_skipped_in_text_too() -> None:
    good = next(one.line for one in SAMPLES if one.format == "haproxy_http") + b"\n"
    data = good + b"x" * (MAX_LINE + 9_000_000) + b"\n" + good
    with parser_of("haproxy_http") as parser:
        parsed, rows = parse(parser, data)
    assert (len(rows), parsed.rejected) == (2, 1)
    assert parsed.samples[0].where == str(len(good))


@pytest.mark.parametrize(
    ("log_format", "line"),
    [
        ("nginx_error", b"2026/01/31 10:00:00 [notice] 1#1: start worker processes"),
        (
            "nginx_error",
            b"2026/01/31 10:00:00 [warn] 7#7: *1 an upstream response is buffered to a temporary "
            b"file /tmp/1 while reading upstream data, client: ::1, server: , request: "
            b'"GET / HTTP/1.1", upstream: "http://10.1.0.1:80/", host: "gw"',
        ),
        (
            "traefik_json",
            b'{"level":"info","msg":"Configuration loaded","time":"2026-01-31T10:00:00Z"}',
        ),
        ("haproxy_http", b"Jan 31 10:00:00 gw haproxy[7]: Proxy web started."),
        ("haproxy_http", b"Server app/app1 is DOWN, reason: Layer4 connection problem"),
        (
            "haproxy_tcp",
            b"::1:4711 [31/Jan/2026:10:00:00.000] in/1: SSL handshake failure",
        ),
        ("caddy_json", b'{"level":"info","ts":1769853600.1,"msg":"serving initial configuration"}'),
    ],
)
def test_lines_that_tell_of_no_request_are_not_refused(log_format: str, line: bytes) -> None:
    good = next(one.line for one in SAMPLES if one.format == log_format) + b"\n"
    with parser_of(log_format) as parser:
        parsed, rows = parse(parser, line + b"\n" + good + line + b"\n")
        assert (len(rows), parsed.lines, parsed.other, parsed.rejected) == (1, 1, 2, 0)
        # where they have a time, they tell from when on there is a log
        assert (parser.first_time(line + b"\n") is None) == log_format.startswith("haproxy")


@pytest.mark.parametrize(
    ("log_format", "line", "expected"),
    [
        # flags decide, whatever the code; a timeout before all others
        (
            "envoy_text",
            b'[2026-01-31T10:00:00.123Z] "GET / HTTP/1.1" 200 UC,SI 0 24 5 - "-" "-" "-" "-" "-"',
            ("timeout", "response_flags=UC,SI"),
        ),
        (
            "envoy_text",
            b'[2026-01-31T10:00:00.123Z] "GET / HTTP/1.1" 0 DC 0 0 5 - "-" "-" "-" "-" "-"',
            ("timeout", "response_flags=DC"),
        ),
        (
            "envoy_text",
            b'[2026-01-31T10:00:00.123Z] "GET / HTTP/1.1" 0 - 0 0 5 - "-" "-" "-" "-" "-"',
            ("client_error", "response_code=0"),
        ),
        # the client hung up in the middle of an answer that it had
        (
            "haproxy_http",
            b"10.0.0.7:1 [31/Jan/2026:10:00:00.000] in a/b 0/0/0/1/9 200 10 - - CD-- 1/1/1/1/0 0/0"
            b' "GET / HTTP/1.1"',
            ("ok", "status_code=200"),
        ),
        (
            "haproxy_http",
            b"10.0.0.7:1 [31/Jan/2026:10:00:00.000] in a/b 0/0/0/1/9 -1 0 - - CH-- 1/1/1/1/0 0/0"
            b' "GET / HTTP/1.1"',
            ("timeout", "termination_state=CH--"),
        ),
        (
            "haproxy_tcp",
            b"10.0.0.7:1 [31/Jan/2026:10:00:00.000] in a/b 0/0/9 10 CD 1/1/1/1/0 0/0",
            ("client_error", "termination_state=CD"),
        ),
        (
            "haproxy_tcp",
            b"10.0.0.7:1 [31/Jan/2026:10:00:00.000] in a/<NOSRV> -1/-1/0 0 PC 1/1/1/1/0 0/0",
            ("server_error", "termination_state=PC"),
        ),
    ],
)
def test_what_decides_an_outcome(
    log_format: str, line: bytes, expected: tuple[str, str], shared_parser: ParserOf
) -> None:
    (row,) = parse(shared_parser(log_format, options={}), line + b"\n")[1]
    assert (row["outcome"], row["outcome_reason"]) == expected


def test_what_is_logged_too_soon_has_no_numbers() -> None:
    line = (
        b"10.0.0.7:1 [31/Jan/2026:10:00:00.000] in a/b 0/0/0/1/+9 200 +10 - - ---- 1/1/1/1/+1 0/0"
        b' "GET / HTTP/1.1"\n'
    )
    (row,) = rows_of("haproxy_http", line)
    assert (row["status"], row["duration_ms"], row["bytes_sent"]) == (200, None, None)


def test_a_request_that_was_cut_by_haproxy_is_one() -> None:
    line = (
        b"10.0.0.7:1 [31/Jan/2026:10:00:00.000] in a/b 0/0/0/1/9 414 10 - - PR-- 1/1/1/1/0 0/0"
        b' "GET /' + b"x" * 900 + b"\n"
    )
    (row,) = rows_of("haproxy_http", line)
    assert (row["status"], row["path"]) == (414, "/" + "x" * 900)


def test_a_status_that_traefik_did_not_log_is_not_guessed() -> None:
    line = b'::1 - - [31/Jan/2026:10:00:00 +0000] "GET / HTTP/1.1" - - "-" "-" 1 "-" "-" 0ms\n'
    with parser_of("traefik_clf") as parser:
        parsed, rows = parse(parser, line)
    assert rows == []
    assert [refused.why for refused in parsed.samples] == ["has no status"]


@pytest.mark.parametrize(
    ("path", "referer", "agent"),
    [
        ("/a", "-", 'an "odd" agent'),
        ("/a", "-", 'a client\'s own \\"escapes\\" \\\\'),
        ("/a", "-", "ends with a backslash \\"),
        ("/a", "-", '"'),
        ("/a", "-", '" "'),
        # what stands last is Traefik's
        ("/a", "-", 'like the rest" 9 "other@file" "http://10.9.9.9:1" 9ms'),
        ("/a", 'http://a/?q="quoted"', "curl/8"),
        ("/a", '\\"', '\\"'),
        ('/q"uoted/\\"b', "-", "curl/8"),
        ("/", "-", "-"),
    ],
)
@pytest.mark.parametrize("upstream", ['"http://10.1.0.1:8080"', '"-"', "-"])
def test_traefik_escapes_no_quotes_and_a_line_is_read_all_the_same(
    path: str, referer: str, agent: str, upstream: str, shared_parser: ParserOf
) -> None:
    """As its formatter writes them, versions 1 to 3; the first wrote unquoted dashes."""
    line = (
        f'10.0.0.7 - ann "o" [31/Jan/2026:10:00:00 +0000] "GET {path} HTTP/1.1" 200 12 '
        f'"{referer}" "{agent}" 43 "shop@docker" {upstream} 7ms\n'
    )
    parsed, (row,) = parse(shared_parser("traefik_clf", options={}), line.encode())
    assert parsed.rejected == 0
    assert row["path"] == path
    assert row["user_agent"] == (None if agent == "-" else agent)
    assert (row["user"], row["status"], row["bytes_sent"]) == ('ann "o"', 200, 12)
    assert row["route"] == "shop@docker"
    assert row["instance"] == ("10.1.0.1:8080" if "http" in upstream else None)
    assert row["duration_ms"] == 7


_TIMES = st.datetimes(datetime(2001, 1, 1), datetime(2035, 1, 1)).map(
    lambda at: at.replace(microsecond=0)
)


@pytest.mark.parametrize(
    "zone",
    ["Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"],
)
def test_times_without_a_zone_are_in_the_one_of_the_source(
    zone: str, shared_parser: ParserOf
) -> None:
    """An hour that a clock passes twice can't be told apart: the second is taken."""
    parser = shared_parser("nginx_error", timezone=zone)
    message = "[error] 7#7: *1 upstream timed out, client: ::1, server: "

    @settings(max_examples=3, deadline=None)
    @given(st.lists(_TIMES, min_size=50, max_size=200))
    @example([datetime(2026, 3, 29, 2, 30), datetime(2026, 10, 25, 2, 30)])
    def check(times: list[datetime]) -> None:
        data = "".join(f"{at:%Y/%m/%d %H:%M:%S} {message}\n" for at in times).encode()
        latest = [
            max(
                at.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC).timestamp()
                for fold in (0, 1)
            )
            for at in times
        ]
        assert [row["at_us"] for row in parse(parser, data)[1]] == [at * 1e6 for at in latest]

    check()
