"""A series of a unit test as a column of a family's table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitoring.backtest.notation import SeriesName
from monitoring.signals import CATALOGUE, SIGNALS, Signal
from userdb.latency import LATENCY_BOUNDS_MS, LATENCY_COLUMNS

_BUCKETS = dict(zip((*map(float, LATENCY_BOUNDS_MS), float("inf")), LATENCY_COLUMNS, strict=True))


def text_of(value: Any) -> str:
    """Text, also where YAML reads a single value as a number. Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


@dataclass(frozen=True)
class Column:
    """A column of a family's table, and the labels of one series of it."""

    name: str
    labels: Mapping[str, str]

    @classmethod
    def parse(cls, text: Any) -> Column:
        """From a series as written.

        Raises:
            ValueError: not a series, or not one that has one value a minute.
        """
        named = SeriesName.parse(text_of(text))
        signal = CATALOGUE.find(named.signal, None)
        labels = {name: value for name, value in named.labels.items() if value}
        if signal.kind == "quantile":
            column = _bucket(signal, labels.pop("le", None))
        elif signal.kind == "ratio":
            raise ValueError(
                f"{signal.name} is a ratio of {' to '.join(signal.columns)}; give the signals of "
                f"these: {', '.join(_of_columns(signal.columns)) or 'there are none'}"
            )
        else:
            (column,) = signal.columns
        for name in labels:
            if name not in signal.family.labels:
                raise ValueError(
                    f"{signal.name} does not have the label {name!r}; "
                    f"it has {', '.join(signal.family.labels)}"
                )
        return cls(column, labels)


def _bucket(signal: Signal, bound: str | None) -> str:
    try:
        return _BUCKETS[float(bound or "")]
    except (ValueError, KeyError):
        raise ValueError(
            f"{signal.name} is a histogram: name a bucket by its upper bound, le=one of "
            f"{', '.join(map(str, LATENCY_BOUNDS_MS))}, +Inf"
        ) from None


def _of_columns(columns: tuple[str, ...]) -> list[str]:
    return [one.name for name in columns for one in SIGNALS.values() if one.columns == (name,)]
