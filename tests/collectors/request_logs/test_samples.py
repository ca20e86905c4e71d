"""A line of each gateway as it writes them, and every column of the request that it tells of."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.collectors.request_logs.formats import FIELDS, FORMATS
from tests.collectors.request_logs.conftest import ParserOf
from tests.collectors.request_logs.parsing import parse
from tests.collectors.request_logs.samples import SAMPLES, Sample


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_line_is_the_request_that_it_tells_of(sample: Sample, shared_parser: ParserOf) -> None:
    parser = shared_parser(sample.format, options=sample.options)
    (row,) = parse(parser, sample.line + b"\n")[1]
    expected = {name: sample.row.get(name) for name in [*FIELDS, "outcome", "outcome_reason"]}
    del expected["occurred_at"]
    assert {name: row[name] for name in expected} == expected
    assert datetime.fromtimestamp(row["at_us"] / 1e6, UTC) == datetime.fromisoformat(
        sample.row["time"]
    )


def test_every_format_has_a_sample() -> None:
    assert {sample.format for sample in SAMPLES} == set(FORMATS)


_DAMAGE = st.tuples(st.integers(0, 400), st.integers(0, 60), st.binary(max_size=60))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_damaged_lines_are_rows_or_counted_and_stop_nothing(
    sample: Sample, shared_parser: ParserOf
) -> None:
    good = sample.line + b"\n"
    parser = shared_parser(sample.format, options=sample.options)

    @settings(max_examples=3, deadline=None)
    @given(damages=st.lists(_DAMAGE, min_size=20, max_size=60))
    def check(damages: list[tuple[int, int, bytes]]) -> None:
        data = good
        for at, cut, junk in damages:
            data += good[:at] + junk + good[at + cut :].rstrip(b"\n") + b"\n" + good
        parsed, rows = parse(parser, data)
        assert parsed.lines + parsed.other + parsed.rejected == data.count(b"\n")
        assert len(rows) == parsed.lines > len(damages)
        assert parsed.read_to == len(data)

    check()
