"""Log formats: whatever a line holds, it is a request, tells of none, or is counted as refused."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from include.collectors.request_logs.blocks import Block
from include.collectors.request_logs.formats import FORMATS
from include.collectors.request_logs.parse import COLUMNS, Parser, Requests
from tests.collectors.request_logs.parsing import parse, parser_of
from tests.collectors.request_logs.samples import SAMPLES, Sample
from tests.fuzz.target import Target
from userdb.models.requests import OUTCOMES, RequestLog

_FIRST, _LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_WORD = re.compile(r"[A-Za-z_][\w.@/-]+")
#: Words of the servers that no sample holds.
_WORDS = (
    *("HTTP/1.1", "GET", "CONNECT", "<NOSRV>", "sH--", "CD--", "LR--", "UT", "UF,URX", "DC", "SI"),
    *(
        "status",
        "time",
        "level",
        "msg",
        "SSL handshake failure",
        "[error]",
        "[notice]",
        "LogFormat",
    ),
    *("upstream timed out", "password mismatch", "client: ", "Proxy web started.", "ms", "499"),
)
_LENGTHS = {
    name: column.type.length
    for name, column in RequestLog.__table__.columns.items()
    if getattr(column.type, "length", None)
}


def log_target(name: str) -> Target:
    samples = [sample for sample in SAMPLES if sample.format == name]
    options = samples[0].options
    samples = [sample for sample in samples if sample.options == options]
    lines = tuple(sample.line for sample in samples)
    words = {word for line in lines for word in _WORD.findall(line.decode())}
    return Target(
        name=name,
        open=lambda: _open(samples[0]),
        seeds=lines,
        words=(*sorted(words), *_WORDS),
        lines=50,
    )


def _open(sample: Sample) -> Callable[[bytes], None]:
    # not closed: the process ends with it
    parser = parser_of(sample.format, options=sample.options)
    good = sample.line + b"\n"
    (expected,) = parser.requests(Block(0, good)).rows.to_pylist()
    (kept,) = parse(parser, good)[1]

    def check(data: bytes) -> None:
        lines = [line + b"\n" for line in data.split(b"\n")]
        parts = [good, *itertools.chain.from_iterable((line, good) for line in lines)]
        starts = [0, *itertools.accumulate(map(len, parts))][:-1]
        whole = b"".join(parts)
        found = parser.requests(Block(0, whole))
        _counts_add_up(found, len(parts))
        for row in found.rows.to_pylist():
            _is_a_request(row)
        _good_lines_are_told(parser, starts[::2], expected)
        bad = set(starts[1::2])
        assert all(int(one.where) in bad and len(one.text) <= 200 for one in found.samples)
        parsed, rows = parse(parser, whole)
        assert (parsed.lines, parsed.other, parsed.rejected) == (
            found.lines,
            found.other,
            found.rejected,
        )
        by_offset = {row["byte_offset"]: row for row in rows}
        for start in starts[::2]:
            assert by_offset[start] == {**kept, "byte_offset": start}
        ((counted,),) = parser.connection.execute("SELECT sum(requests) FROM part").fetchall()
        assert counted == found.lines

    return check


def _counts_add_up(found: Requests, lines: int) -> None:
    assert found.lines + found.other + found.rejected == lines
    assert found.rows.num_rows == found.lines


def _good_lines_are_told(parser: Parser, starts: list[int], expected: dict[str, Any]) -> None:
    columns = ", ".join(f"{sql} AS {name}" for name, sql in COLUMNS.items())
    places = ", ".join(map(str, starts))
    rows = parser.connection.sql(
        f"SELECT {columns} FROM parsed WHERE byte_offset IN ({places}) AND why IS NULL"
    ).to_arrow_table()
    assert rows.to_pylist() == [expected] * len(starts)


def _is_a_request(row: dict[str, Any]) -> None:
    assert row["time"].utcoffset() is not None
    assert _FIRST <= row["time"] <= _LAST
    assert row["status"] is None or 0 <= row["status"] <= 999
    assert row["outcome"] in OUTCOMES
    assert row["reason"]
    duration = row["duration_ms"]
    assert duration is None or (math.isfinite(duration) and 0 <= duration <= 1e9)
    assert row["bytes"] is None or 0 <= row["bytes"] <= 1 << 42
    for name, value in row.items():
        if isinstance(value, str):
            assert value not in ("", "-"), name
            assert "\0" not in value, name
            assert len(value) <= _LENGTHS.get("outcome_reason" if name == "reason" else name, 2048)


TARGETS = tuple(log_target(name) for name in FORMATS)
