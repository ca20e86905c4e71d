"""Spans of a long window: all of it, each small enough to be held in memory."""

from __future__ import annotations

from collections import Counter

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.collectors.request_logs import spans


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    minutes=st.lists(st.integers(100, 159), max_size=80),
    counted=st.integers(1, 30),
    longest=st.integers(1, 70),
)
def test_spans_are_all_of_a_window_and_bounded(
    minutes: list[int], counted: int, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "_COUNTED", counted)
    monkeypatch.setattr(spans, "_MINUTES", longest)
    with duckdb.connect() as parsed:
        parsed.execute("CREATE TABLE part AS SELECT unnest(?::BIGINT[]) AS minute", [minutes])
        found = list(spans.spans_of(parsed, 100, 160))
    assert [minute for low, high in found for minute in range(low, high)] == list(range(100, 160))
    rows = Counter(minutes)
    for low, high in found:
        held = [rows[minute] for minute in range(low, high) if minute in rows]
        assert high - low <= longest
        assert sum(held) <= counted or len(held) == 1
