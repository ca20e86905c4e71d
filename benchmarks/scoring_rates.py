"""Series × evaluations a second of each policy kind: its scorer alone, on minutes in memory.

    python -m benchmarks.scoring_rates

400 series, two days, evaluated every minute. A kind is measured with one usual policy: add a line
to ``POLICIES`` for a new one. Composites have no scorer of their own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from monitoring.policy.kinds import KINDS, parse_policy
from monitoring.policy.signal_policy import SeriesPolicy
from monitoring.scoring.facts import Selection
from monitoring.scoring.matrix import NEVER
from monitoring.scoring.minutes import FamilyMinutes
from monitoring.scoring.registry import score

SERIES = 400
DAY = 24 * 60
FIRST = 29_500_000 // DAY * DAY
DAYS = 2
_USUAL = {"by": ["service", "route"]}
_RATIO = {"signal": "requests.timeout_ratio", "condition": "> 0.05", "min_samples": 20}
_LABEL = {"by": ["service"], "label": "route"}
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "threshold: sum, 5m": {"signal": "requests.timeouts", "condition": "> 40"},
    "threshold: sum, 60m": {"signal": "requests.timeouts", "condition": "> 400", "window": "60m"},
    "threshold: ratio, 5m": {**_RATIO, "recover": "< 0.02"},
    "threshold: quantile, 10m": {
        "signal": "requests.latency",
        "quantile": 0.95,
        "condition": "> 2000",
        "window": "10m",
    },
    "threshold: max of a gauge, 15m": {
        "signal": "requests.latency_max",
        "aggregate": "max",
        "condition": "> 2000",
        "window": "15m",
    },
    "absence": {"kind": "absence", "signal": "requests.count"},
    "new_value": {"kind": "new_value", "signal": "requests.count", **_LABEL},
    "change: ratio to a day before, 15m": {
        "kind": "change",
        "signal": "requests.count",
        "window": "15m",
        "compare": "day",
        "threshold": 2,
    },
    "baseline: 14 days, 15m": {
        "kind": "baseline",
        "signal": "requests.count",
        "window": "15m",
    },
    "burn_rate: ticket": {
        "kind": "burn_rate",
        "errors": ["requests.server_errors"],
        "total": "requests.count",
        "objective": 0.99,
        "windows": "ticket",
    },
    "cardinality": {
        "kind": "cardinality",
        "signal": "requests.count",
        "condition": "> 20",
        **_LABEL,
    },
}


def rate(fields: Mapping[str, Any]) -> float:
    """Series × evaluations a second of the policy's scorer; the median of three runs."""
    policy = parse_policy({"name": "rate", "kind": "threshold", **_USUAL, **fields})
    assert isinstance(policy, SeriesPolicy)
    times = np.arange(FIRST + 1, FIRST + DAYS * DAY + 1, policy.interval, dtype=np.int64)
    reach = policy.lookback_minutes + policy.interval
    facts = _minutes(Selection.of(policy), reach, policy.memory_minutes)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        scores = score(policy, facts, times)
        seconds.append(time.perf_counter() - start)
    # of the series that are read, whatever they are grouped to
    assert len(scores.times) == len(times)
    return SERIES * len(times) / statistics.median(seconds)


def _minutes(selection: Selection, reach: int, memory: int) -> FamilyMinutes:
    random = np.random.default_rng(0)
    shape = (DAYS * DAY + reach, SERIES)
    never = {name: np.full(SERIES, NEVER) for name in selection.columns}
    return FamilyMinutes(
        FIRST - reach,
        [{"service": f"s{at % 8}", "route": f"/r{at}"} for at in range(SERIES)],
        {name: random.poisson(5, shape).astype(np.float64) for name in selection.columns},
        {name: np.ones(shape, dtype=np.bool_) for name in selection.columns},
        np.ones(memory + shape[0], dtype=np.bool_),
        never,
    )


def print_rates() -> dict[str, float]:
    """Print the table; returns policy → rate. Raises AssertionError where a kind is left out."""
    measured = {fields.get("kind", "threshold") for fields in POLICIES.values()}
    missing = set(KINDS) - measured - {"composite"}
    assert not missing, f"add a policy of kind {', '.join(sorted(missing))} to POLICIES"
    print("| policy | series × evaluations/s |\n|---|---:|")
    rates = {}
    for name, fields in POLICIES.items():
        rates[name] = rate(fields)
        print(f"| {name} | {rates[name]:,.0f} |", flush=True)
    return rates


if __name__ == "__main__":
    print_rates()
