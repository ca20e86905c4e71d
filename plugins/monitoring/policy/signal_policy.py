"""Policies over signals: which minutes they look at, and how these become one value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import (
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from monitoring.duration import Duration
from monitoring.policy.definition import (
    MINUTE,
    NoData,
    Policy,
    at_least_a_minute,
    whole_minutes,
)
from monitoring.signals import CATALOGUE, EVENT, SIGNALS, Aggregate, Catalogue, Family, Signal


class SeriesPolicy(Policy):
    """A policy over the minutes of signals of one family, series by series."""

    by: tuple[str, ...] | None = Field(
        default=None, description="labels that tell series apart; default: all of the signal's"
    )
    where: dict[str, str | list[str]] = Field(
        default_factory=dict, description="label to pattern or patterns, with * and ?"
    )
    no_data: NoData = "hold"
    forget: Duration = Field(
        default=timedelta(hours=24),
        description="covered time without a sample after which a series is gone",
    )
    delay: Duration = Field(
        default=timedelta(0), description="shifts the lookback back, for inputs always late"
    )

    urgent: bool = Field(
        default=False,
        description="an event that the policy counts runs the chain at once, as soon as its minute "
        "is over; only for signals of events",
    )

    _signals: tuple[Signal, ...] = PrivateAttr(default=())

    @field_validator("delay")
    @classmethod
    def _delay(cls, value: timedelta) -> timedelta:
        return whole_minutes(value)

    @field_validator("forget")
    @classmethod
    def _forget(cls, value: timedelta) -> timedelta:
        return at_least_a_minute(value)

    @model_validator(mode="after")
    def _known_signals(self, info: ValidationInfo) -> SeriesPolicy:
        catalogue: Catalogue = (info.context or {}).get("catalogue", CATALOGUE)
        self._signals = tuple(self.find_signals(catalogue))
        families = sorted({signal.family.name for signal in self._signals})
        if len(families) > 1:
            raise ValueError(f"signals of one policy are of one family, not {', '.join(families)}")
        known = self.family.labels
        for field, names in self.named_labels.items():
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"{field} names the label {name!r}, which {self._signals[0].name} does not "
                        f"have; it has {', '.join(known)}"
                    )
        if self.urgent and catalogue is CATALOGUE and self.family is not EVENT:
            raise ValueError(
                f"urgent is for signals of events, which are known when they come in, and not for "
                f"{self._signals[0].name}"
            )
        if self.by is not None and len(set(self.by)) < len(self.by):
            raise ValueError("by names a label twice")
        return self

    def find_signals(self, catalogue: Catalogue) -> Iterable[Signal]:
        """The signals that the policy names, looked up.

        Raises:
            ValueError: one that the catalogue does not have.
        """
        raise NotImplementedError

    @property
    def named_labels(self) -> Mapping[str, Iterable[str]]:
        """Fields that name labels, and which; the signals must have them."""
        return {"by": self.by or (), "where": self.where}

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What the policy looks at; all of one family."""
        return self._signals

    @property
    def family(self) -> Family:
        return self._signals[0].family

    @property
    def family_name(self) -> str:
        return self.family.name

    @property
    def group_labels(self) -> tuple[str, ...]:
        return self.family.labels if self.by is None else self.by

    @property
    def missing_is(self) -> NoData:
        return self.no_data

    @property
    def forget_minutes(self) -> int:
        return self.forget // MINUTE

    @property
    def delay_minutes(self) -> int:
        return self.delay // MINUTE

    @property
    def needs_memory(self) -> bool:
        """Whether the class of a series without samples depends on when it last had one."""
        return True

    @property
    def memory_minutes(self) -> int:
        """A series is forgotten after ``forget`` of covered time, at the latest after twice that
        on the clock."""
        return 2 * self.forget_minutes if self.needs_memory else 0

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "kind": self.kind,
            "signal": ",".join(signal.name for signal in self.signals),
            "by": sorted(self.group_labels),
            "where": {
                name: sorted([value] if isinstance(value, str) else value)
                for name, value in sorted(self.where.items())
            },
        }


class SignalPolicy(SeriesPolicy):
    """A policy over one signal."""

    signal: Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(SIGNALS)})]

    @field_validator("signal")
    @classmethod
    def _known_signal(cls, value: str, info: ValidationInfo) -> str:
        catalogue: Catalogue = (info.context or {}).get("catalogue", CATALOGUE)
        catalogue.find(value, None)
        return value

    def find_signals(self, catalogue: Catalogue) -> Iterable[Signal]:
        return (catalogue.find(self.signal, None),)

    @property
    def signal_definition(self) -> Signal:
        return self.signals[0]


class WindowPolicy(SignalPolicy):
    """A policy that looks at the minutes that end in (t - delay - window, t - delay]."""

    window: Duration = timedelta(minutes=5)

    @field_validator("window")
    @classmethod
    def _window(cls, value: timedelta) -> timedelta:
        return at_least_a_minute(value)

    @property
    def window_minutes(self) -> int:
        return self.window // MINUTE

    @property
    def lookback_minutes(self) -> int:
        return self.window_minutes + self.delay_minutes

    @property
    def expects_samples(self) -> bool:
        """Whether a window without a sample means something, so that it must not be shorter than
        the time between two samples."""
        return True


class CoveredPolicy(WindowPolicy):
    """A policy that knows nothing where its window is not covered for the most part."""

    min_coverage: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="share of the window that must be covered; default 1 up to 15m, else 0.9",
    )

    @property
    def coverage_needed(self) -> float:
        if self.min_coverage is not None:
            return self.min_coverage
        return coverage_needed(self.window_minutes)


class MeasuredPolicy(CoveredPolicy):
    """A policy that compares one value an evaluation: the signal, aggregated over its window."""

    aggregate: Aggregate | None = Field(
        default=None, description="over time; default sum for counts, avg for gauges"
    )
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="for quantile signals and for aggregate quantile, such as 0.95"
    )
    min_samples: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="fewer requests (ratio, quantile) or samples (gauge) in the window: no value",
    )

    def find_signals(self, catalogue: Catalogue) -> Iterable[Signal]:
        return (catalogue.find(self.signal, self.aggregate),)

    @model_validator(mode="after")
    def _fits_the_signal(self) -> MeasuredPolicy:
        kind = self.signal_definition.kind
        if kind == "quantile" and self.quantile is None:
            raise ValueError(f"{self.signal} needs a quantile, for example quantile: 0.95")
        if self.aggregate == "quantile" and self.quantile is None:
            raise ValueError("aggregate quantile needs one, for example quantile: 0.95")
        if self.quantile is not None and kind != "quantile" and self.aggregate != "quantile":
            raise ValueError(
                f"{self.signal} is a {kind}: quantile does not apply, unless with "
                "aggregate: quantile"
            )
        if kind in ("ratio", "quantile") and self.aggregate is not None:
            raise ValueError(f"{self.signal} is a {kind} over the whole window: drop aggregate")
        if kind == "count" and self.min_samples != 1:
            raise ValueError(f"{self.signal} is a count: min_samples does not apply")
        return self

    @property
    def expects_samples(self) -> bool:
        return self.signal_definition.kind == "gauge"


def matches(patterns: str | list[str], text: str) -> bool:
    """Whether the pattern, or one of them, with * and ?, matches all of ``text``."""
    return any(
        fnmatchcase(text, pattern)
        for pattern in ([patterns] if isinstance(patterns, str) else patterns)
    )


def coverage_needed(minutes: int) -> float:
    """The share of a lookback of so many minutes that must be covered, by default."""
    return 1.0 if minutes <= 15 else 0.9
