"""Policies and series written to files, and backtests of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from monitoring.backtest.document import Document, backtest_document
from monitoring.backtest.run import Grid, run_policies
from monitoring.backtest.series import read_series
from monitoring.policy.loader import load_valid_policies

from userdb.times import from_minute, to_minute

#: A Monday, 10:00 UTC.
T0 = to_minute(datetime(2026, 3, 2, 10, 0, tzinfo=UTC))


def at(minutes: int, seconds: int = 0) -> str:
    """RFC 3339, so many minutes after T0."""
    return f"{from_minute(T0 + minutes):%Y-%m-%dT%H:%M}:{seconds:02}Z"


def sample(value: Any, time: str, signal: str = "s", **labels: str) -> dict[str, Any]:
    return {"signal": signal, "labels": labels, "time": time, "value": value}


def samples(
    values: Sequence[float | None], signal: str = "s", begin: int = 0, **labels: str
) -> list[dict[str, Any]]:
    """One value a minute, the first at T0 + begin; None: no sample."""
    return [
        sample(value, at(minute), signal, **labels)
        for minute, value in enumerate(values, begin)
        if value is not None
    ]


def gap(begin: str, end: str, signal: str = "s") -> dict[str, Any]:
    return {"gap": {"signal": signal, "from": begin, "to": end}}


def write_policies(folder: Path, *policies: Mapping[str, Any]) -> Path:
    """Threshold policies over the signal ``s`` unless they say otherwise."""
    base = {"name": "p", "signal": "s", "condition": "> 5", "window": "1m"}
    path = folder / "policies.yaml"
    entries = [
        dict(one) if one.get("kind", "threshold") != "threshold" else {**base, **one}
        for one in policies
    ]
    path.write_text(yaml.safe_dump({"policies": entries}))
    return path


def write_series(folder: Path, lines: Sequence[Any]) -> Path:
    path = folder / "series.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def backtest(
    folder: Path,
    policies: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    lines: Sequence[Any],
    minutes: tuple[int, int],
    every: int | None = None,
) -> Document:
    """From T0 + minutes[0] to T0 + minutes[1]."""
    some = [policies] if isinstance(policies, Mapping) else policies
    found = read_series(write_series(folder, lines))
    loaded = load_valid_policies([write_policies(folder, *some)], found.catalogue)
    grid = Grid(T0 + minutes[0], T0 + minutes[1], every)
    return backtest_document(run_policies(loaded, found.facts, grid, found.facts.groups))


def states(
    folder: Path,
    policy: Mapping[str, Any],
    lines: Sequence[Any],
    minutes: tuple[int, int],
    every: int | None = None,
) -> str:
    """Of the only series."""
    (one,) = backtest(folder, policy, lines, minutes, every)["states"]
    return str(one["states"])
