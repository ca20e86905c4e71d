"""Backtests against a plain reading of the rules: one evaluation after the other, no arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitoring.backtest.document import backtest_document
from monitoring.backtest.run import Grid, run_policies
from monitoring.backtest.series import read_series
from monitoring.policy.kinds import parse_policy

from tests.monitoring.backtest.files import T0, at, gap, samples

MINUTES = 40


@dataclass
class Series:
    """One series on its way through its evaluations."""

    policy: dict
    active: int | None = None
    known: int = 0  # since it became active
    firing: bool = False
    clear: int | None = None

    def step(self, verdict: str, every: int) -> str:
        """The state after an evaluation: breach, clear, between, missing or unknown."""
        if verdict == "unknown":
            return "?"
        breaching = self.active is not None and self.clear is None
        if verdict == "missing":
            how = self.policy["no_data"]
            if how == "resolve":
                self.active, self.firing, self.clear = None, False, None
                return "."
            held = "breach" if breaching else "clear"
            verdict = {"hold": held, "ok": "clear", "alert": "breach"}[how]
        if verdict == "between":
            verdict = "breach" if breaching and self.firing else "clear"
        if verdict == "breach":
            if self.active is None:
                self.active, self.known = 0, 0
            else:
                self.known += every
            self.clear = None
            self.firing = self.firing or self.known >= self.policy["for"]
            return "F" if self.firing else "P"
        if not self.firing:
            self.active = None
            return "."
        self.clear = 0 if self.clear is None else self.clear + every
        if self.clear >= self.policy["keep"]:
            self.active, self.firing, self.clear = None, False, None
            return "."
        return "F"


def verdict(policy: dict, values: list, gaps: set[int], time: int) -> str:
    window = range(time - policy["window"] + 1, time + 1)
    if gaps & set(window):
        return "unknown"
    seen = [values[end] for end in window if 0 <= end < len(values) and values[end] is not None]
    begun = any(value is not None for value in values[: time + 1])
    if policy["aggregate"] == "sum":
        value = sum(seen) if begun else None
    elif not seen:
        value = None
    else:
        value = {"last": seen[-1], "max": max(seen), "min": min(seen)}[policy["aggregate"]]
    if value is None:
        return "missing" if begun else "clear"
    if value > 5:
        return "breach"
    return "between" if policy["recover"] and value >= 3 else "clear"


POLICIES = st.fixed_dictionaries(
    {
        "window": st.integers(1, 4),
        "for": st.integers(0, 6),
        "keep": st.integers(0, 6),
        "recover": st.booleans(),
        "no_data": st.sampled_from(["hold", "ok", "alert", "resolve"]),
        "aggregate": st.sampled_from(["last", "max", "min", "sum"]),
    }
)
VALUES = st.lists(st.one_of(st.none(), st.integers(0, 8)), max_size=MINUTES)
GAPS = st.lists(st.tuples(st.integers(0, MINUTES), st.integers(0, 5)), max_size=3)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POLICIES, VALUES, GAPS, st.integers(0, 5), st.integers(1, 7))
def test_states_are_those_of_a_plain_reading(tmp_path, policy, values, gaps, begin, every):
    path = tmp_path / "series.jsonl"
    lines = [*samples(values, k="a"), *(gap(at(low), at(low + long)) for low, long in gaps)]
    path.write_text("\n".join(map(json.dumps, lines)))
    found = read_series(path)
    fields = {
        "name": "p",
        "signal": "s",
        "condition": "> 5",
        "recover": "< 3" if policy["recover"] else None,
        "window": f"{policy['window']}m",
        "for": f"{policy['for']}m",
        "keep_firing_for": f"{policy['keep']}m",
        "no_data": policy["no_data"],
        "aggregate": policy["aggregate"],
    }
    parsed = parse_policy(fields, found.catalogue)
    grid = Grid(T0 + begin, T0 + MINUTES, every)
    told = backtest_document(run_policies([parsed], found.facts, grid, found.facts.groups))
    if all(value is None for value in values):
        assert told["states"] == []
        return
    uncovered = {end for low, long in gaps for end in range(low + 1, low + long + 1)}
    series = Series(policy)
    expected = "".join(
        series.step(verdict(policy, values, uncovered, time), every)
        for time in range(begin, MINUTES + 1, every)
    )
    assert told["states"] == [{"policy": "p", "labels": {"k": "a"}, "states": expected}]
