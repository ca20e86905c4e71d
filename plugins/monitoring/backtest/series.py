"""Files of series: JSON lines, read as facts and as the catalogue of the signals in them.

    {"signal": "queue.depth", "labels": {"queue": "a"}, "time": "2026-03-02T10:05:00Z", "value": 7}
    {"gap": {"signal": "queue.depth", "from": "2026-03-02T11:00:00Z", "to": "2026-03-02T11:10:00Z"}}

A value at T is the bucket that ends at T. Times are rounded up to the minute. A gap is the bucket
ends in (from, to] that were not covered; everything else was.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from monitoring.scoring.memory import MemoryFacts, Samples
from monitoring.signals import Aggregate, Catalogue, Family, Signal
from monitoring.window import MINUTE, parse_time
from userdb.errors import ConfigError, WindowError
from userdb.times import to_minute

#: Mistakes that are told; a file with more is of another kind.
_MOST_ERRORS = 20

#: A fraction that goes on behind the microseconds, which datetimes cut off.
_BELOW_MICROSECONDS = re.compile(r"\.\d{6}\d*[1-9]")
_MICROSECOND = timedelta(microseconds=1)

#: Labels without empty ones, sorted.
LabelSet = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SeriesFile:
    """What a file of series holds."""

    facts: MemoryFacts
    catalogue: Catalogue


def bucket_end(text: Any, name: str) -> int:
    """RFC 3339 text in minutes since 1970 UTC, rounded up.

    Raises:
        ValueError: not a time, or one without a time zone; the message begins with ``name``.
    """
    if not isinstance(text, str):
        raise ValueError(f"{name} must be text such as 2026-01-31T10:00:00Z")
    try:
        at = parse_time(text, name)
        if _BELOW_MICROSECONDS.search(text):
            at += _MICROSECOND
        return to_minute(at + MINUTE - _MICROSECOND)
    except WindowError as error:
        raise ValueError(str(error)) from None
    except OverflowError:
        raise ValueError(f"{name} {text!r} lies outside of the calendar") from None


def read_series(path: Path | str) -> SeriesFile:
    """Read a file of series.

    Raises:
        ConfigError: it can't be read, or lines of it are not valid: each with file, line, field.
    """
    path = Path(path)
    reader = _Reader()
    errors: list[str] = []
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    reader.take(line)
                except ValueError as error:
                    errors.append(f"{path}:{number}: {error}")
                    if len(errors) == _MOST_ERRORS:
                        errors.append(f"{path}: only the first {_MOST_ERRORS} errors are shown")
                        break
    except OSError as cause:
        raise ConfigError(f"{path}: can't be read: {cause.strerror or cause}") from cause
    except UnicodeDecodeError as cause:
        raise ConfigError(f"{path}: is not UTF-8 text ({cause.reason})") from cause
    if errors:
        raise ConfigError("\n".join(errors))
    return reader.result()


class _Reader:
    """Takes lines in; what a signal's duplicates come to depends on how policies see it, so both
    are kept: the sum for a count, the last for a gauge."""

    def __init__(self) -> None:
        self._last: dict[str, dict[LabelSet, dict[int, float]]] = {}
        self._sum: dict[str, dict[LabelSet, dict[int, float]]] = {}
        self._gaps: dict[str, list[tuple[int, int]]] = {}
        self._minutes: dict[str, int] = {}

    def take(self, line: str) -> None:
        """Raises ValueError, which names the field, where the line is not valid."""
        try:
            data = json.loads(line, object_pairs_hook=_each_once, parse_int=float)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not JSON: {error.msg} (column {error.colno})") from None
        except RecursionError:
            raise ValueError("is not JSON that can be read: nested too deep") from None
        if not isinstance(data, dict):
            raise ValueError("a line holds one JSON object: a sample, or a gap")
        if "gap" in data:
            _only(data, ("gap",), "")
            self._gap(data["gap"])
        else:
            self._sample(data)

    def _sample(self, data: Mapping[str, Any]) -> None:
        _only(data, ("signal", "labels", "time", "value"), "")
        signal = _signal(data, "signal")
        labels = _labels(data.get("labels", {}))
        minute = self._end(data, "time", "time") - 1
        value = _number(data)
        self._last.setdefault(signal, {}).setdefault(labels, {})[minute] = value
        added = self._sum.setdefault(signal, {}).setdefault(labels, {})
        total = added.get(minute, 0.0) + value
        if math.isinf(total):
            raise ValueError("value: with the samples before it the minute's sum is not finite")
        added[minute] = total

    def _gap(self, data: Any) -> None:
        if not isinstance(data, dict):
            raise ValueError("gap: must be an object with signal, from and to")
        _only(data, ("signal", "from", "to"), "gap.")
        signal = _signal(data, "gap.signal")
        begin, end = self._end(data, "from", "gap.from"), self._end(data, "to", "gap.to")
        if begin > end:
            raise ValueError("gap.to: lies before gap.from")
        self._gaps.setdefault(signal, []).append((begin, end))

    def _end(self, data: Mapping[str, Any], key: str, name: str) -> int:
        if key not in data:
            raise ValueError(f"{name}: is missing")
        text = data[key]
        if not isinstance(text, str):
            raise ValueError(f"{name}: must be text such as 2026-01-31T10:00:00Z")
        if text not in self._minutes:
            try:
                self._minutes[text] = bucket_end(text, "time")
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return self._minutes[text]

    def result(self) -> SeriesFile:
        columns = {name: _samples(found) for name, found in self._last.items()}
        columns |= {_count_column(name): _samples(found) for name, found in self._sum.items()}
        gaps = {
            column: spans
            for name, spans in self._gaps.items()
            for column in (name, _count_column(name))
        }
        labels = {
            name: tuple(sorted({label for one in found for label, _ in one}))
            for name, found in self._last.items()
        }
        return SeriesFile(MemoryFacts(columns, gaps), _FoundSignals(labels))


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice}: is given twice")
    return found


def _only(data: Mapping[str, Any], known: tuple[str, ...], within: str) -> None:
    for name in data:
        if name not in known:
            raise ValueError(f"{within}{name}: is not a known field; known are {', '.join(known)}")


def _signal(data: Mapping[str, Any], name: str) -> str:
    signal = data.get("signal")
    if not isinstance(signal, str) or not signal:
        raise ValueError(f"{name}: must be the name of a signal")
    return signal


def _labels(labels: Any) -> LabelSet:
    if not isinstance(labels, dict):
        raise ValueError("labels: must be an object of label and value")
    for name, value in labels.items():
        if not isinstance(value, str):
            raise ValueError(f"labels.{name}: must be text")
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def _number(data: Mapping[str, Any]) -> float:
    value = data.get("value")
    if not isinstance(value, float):  # integers are read as such too
        raise ValueError("value: must be a number")
    if not math.isfinite(value):
        raise ValueError("value: must be a finite number")
    return value


def _samples(found: Mapping[LabelSet, Mapping[int, float]]) -> list[Samples]:
    result = []
    for labels, values in found.items():
        minutes = np.array(sorted(values), dtype=np.int64)
        column = np.array([values[minute] for minute in minutes.tolist()], dtype=np.float64)
        result.append(Samples(dict(labels), minutes, column))
    return result


def _count_column(signal: str) -> str:
    """The column of a signal seen as a count; no signal's name begins so."""
    return f"\0count {signal}"


class _AnyLabels(tuple[str, ...]):
    """Labels of a signal that the file doesn't hold: nobody can say which it would have."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return True


class _FoundSignals:
    """Every name is a signal: a count where a policy sums or counts it, else a gauge."""

    def __init__(self, labels: Mapping[str, tuple[str, ...]]) -> None:
        self._labels = labels

    def find(self, name: str, aggregate: Aggregate | None) -> Signal:
        """See ``monitoring.signals.Catalogue``."""
        family = Family("series", "", "", self._labels.get(name, _AnyLabels()))
        if aggregate in ("sum", "count"):
            return Signal(name, family, "count", "", "", (_count_column(name),))
        return Signal(name, family, "gauge", "", "", (name,), gauge_aggregate="last")
