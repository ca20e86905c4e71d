"""What is found fast in most lines is what the whole regular expression finds."""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.collectors.request_logs.formats.nginx_combined import RECORD
from include.collectors.request_logs.formats.template import Variable, compile_template
from include.collectors.request_logs.formats.text_record import TextRecord
from include.collectors.request_logs.mapping import template_sql

_ALPHABET = 'ab1-[]" \\\x00\té\n'
_LAST = Variable("c")
_LITERALS = st.sampled_from([" ", " - ", '"', ' "', '" "', " [", "] ", "|", "a", "--"])


def _variables(number: int) -> st.SearchStrategy[list[str | Variable]]:
    """Variables with literals between them; now and then without."""
    variable = st.tuples(st.booleans(), st.booleans(), st.integers(0, 9), _LITERALS)

    def make(chosen: list[tuple[bool, bool, int, str]]) -> list[str | Variable]:
        pieces: list[str | Variable] = []
        for at, (solid, named, joined, literal) in enumerate(chosen):
            pieces.append(Variable(f"v{at}" if named or not at else None, solid=solid))
            if joined:
                pieces.append(literal)
        return pieces

    return st.lists(variable, min_size=1, max_size=number).map(make)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[list[str | Variable], list[str]]:
    pieces = draw(_variables(10))
    value = st.text(_ALPHABET, max_size=3)
    written = st.tuples(
        *(st.just(piece) if isinstance(piece, str) else value for piece in pieces)
    ).map("".join)
    lines = draw(st.lists(st.one_of(written, st.text(_ALPHABET, max_size=12)), min_size=1))
    return pieces, lines


def _found(expression: str, lines: Sequence[str]) -> list[object]:
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT {expression} FROM (SELECT unnest(?) AS line, unnest(?) AS row) ORDER BY row",
            [list(lines), list(range(len(lines)))],
        ).fetchall()
    return [row[0] for row in rows]


@settings(max_examples=settings().max_examples // 2)
@given(case=_cases())
def test_a_template_finds_the_same_fast(case: tuple[list[str | Variable], list[str]]) -> None:
    pieces, lines = case
    record = compile_template(pieces)
    assert _found(record.record, lines) == _found(record.general, lines)


#: The parts of a line, the usual ones first.
_COMBINED = (
    ("10.0.0.7", "\x0010.0.0.7", "", "a b"),
    (" - ", " ", " - - "),
    ("-", "ann", "ann [x", 'a"b', "a b", ""),
    (" [28/Feb/2026:23:42:31 +0000] ", " [] ", " [a]b] "),
    ('"GET /a HTTP/1.1"', '"\\x16\\x03"', '"a\\"b"', '"a"b"', '""', "-"),
    (" 200 ", " 20 ", " 2000 ", "200"),
    ("17", "-", "", "1 7"),
    (' "-" "curl"', "", ' "-"', ' "a\\"" "b"', ' "" ""', ' "a" "b'),
    ("", "\n", ' "more" 1', "more"),
)


@st.composite
def _combined(draw: st.DrawFn) -> str:
    """A line with two parts that are not as usual, at most."""
    parts = [usual for usual, *_ in _COMBINED]
    for at in draw(st.lists(st.integers(0, len(parts) - 1), max_size=2)):
        parts[at] = draw(st.sampled_from(_COMBINED[at]))
    return "".join(parts)


@settings(max_examples=settings().max_examples // 2)
@given(lines=st.lists(_combined(), min_size=5, max_size=30))
def test_nginx_combined_finds_the_same_fast(lines: list[str]) -> None:
    assert _found(RECORD.record, lines) == _found(RECORD.general, lines)


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (RECORD, '10.0.0.7 - ann [28/Feb/2026:23:42:31 +0000] "GET / HTTP/1.1" 200 1 "-" "curl"\n'),
        (
            compile_template(
                ['"', Variable("a"), '" ', Variable("b", solid=True), " ", Variable("c")]
            ),
            '"x y" 17 end\n',
        ),
    ],
)
def test_a_usual_line_is_found_fast(record: TextRecord, line: str) -> None:
    assert record.record != record.general
    (whole,) = re.findall(
        r"^CASE WHEN (regexp_matches\(line, '(?:[^']|'')*'\)) THEN", record.record
    )
    assert _found(whole, [line]) == [True]
    assert _found(record.record, [line]) == _found(record.general, [line]) != [None]


_SEGMENTS = st.one_of(
    st.sampled_from(
        [
            *("users", "v2", "17", "", "a" * 15, "a" * 16, "a" * 17, "beef" * 4, "a1" * 10),
            *("2026-01-31", "10.0.0.7", "ann@example.org", "a%40b.c", "eyJ-a.b.c", "{id}", "-1"),
            *("123e4567-e89b-12d3-a456-426614174000", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "17a", "_17"),
        ]
    ),
    st.text("ab1-_.é\n", max_size=17),
)
_IDS = re.compile(
    r"[0-9]+|[0-9]{4}-[0-9]{2}(-[0-9]{2}([T_][0-9:.%A-F]+Z?)?)?|[0-9]{1,3}(\.[0-9]{1,3}){3}"
    r"|[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-7][0-9A-HJKMNP-TV-Z]{25}"
    r"|[0-9a-fA-F]{16,}|[^/@]+(@|%40)[^/@]+\.[^/@]+|eyJ[\w-]+\.[\w-]+\.[\w-]*",
    re.ASCII,
)


def _is_id(segment: str) -> bool:
    if _IDS.fullmatch(segment):
        return True
    has_digit, is_token = re.search("[0-9]", segment), re.fullmatch(r"[\w-]{20,}=*", segment, re.A)
    if not has_digit or not is_token:
        return False
    mixed = bool(re.search("[A-Z]", segment) and re.search("[a-z]", segment))
    return ("-" not in segment and "_" not in segment) or mixed


@given(paths=st.lists(st.lists(_SEGMENTS, min_size=1, max_size=6), min_size=1, max_size=20))
def test_segments_that_are_ids_are_found_one_by_one(paths: list[list[str]]) -> None:
    expected = ["".join("/{id}" if _is_id(one) else f"/{one}" for one in path) for path in paths]
    assert _found(template_sql("line"), ["/" + "/".join(path) for path in paths]) == expected
