"""What every policy states, whatever its kind, and the kinds.

A kind is one model here or beside, one module in ``monitoring.scoring``, and one line in
``monitoring.policy.kinds``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from monitoring.duration import Duration
from monitoring.policy.annotations import check_template
from monitoring.policy.condition import Condition
from monitoring.signals import SIGNALS, Family, Signal

MINUTE = timedelta(minutes=1)

NoData = Literal["hold", "ok", "alert", "resolve"]
Severity = Literal["info", "warning", "error", "critical"]
Aggregate = Literal["last", "avg", "min", "max", "sum", "count"]

#: Labels that a receiver gets besides the series' own.
RESERVED_LABELS = frozenset({"alertname", "severity"})


def _check_minutes(value: timedelta) -> timedelta:
    if value % MINUTE:
        raise ValueError("must be a whole number of minutes: that is the resolution")
    return value


def _minutes(value: timedelta) -> int:
    return value // MINUTE


class Policy(BaseModel):
    """What all kinds share.

    Every field that changes which series there are (``identity``) ends the old series' alerts
    when it is edited.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=100)]
    kind: str
    signal: str
    by: tuple[str, ...] | None = Field(
        default=None, description="labels that tell series apart; default: all of the signal's"
    )
    where: dict[str, str | list[str]] = Field(
        default_factory=dict, description="label to pattern or patterns, with * and ?"
    )
    for_: Duration = Field(default=timedelta(0), alias="for")
    keep_firing_for: Duration = timedelta(0)
    no_data: NoData = "hold"
    forget: Duration = Field(
        default=timedelta(hours=24),
        description="covered time without a sample after which a series is gone",
    )
    delay: Duration = Field(
        default=timedelta(0), description="shifts the lookback back, for inputs always late"
    )
    evaluation_interval: Duration = timedelta(minutes=1)
    severity: Severity = "warning"
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    @field_validator("for_", "keep_firing_for", "forget", "delay", "evaluation_interval")
    @classmethod
    def _whole_minutes(cls, value: timedelta) -> timedelta:
        return _check_minutes(value)

    @field_validator("evaluation_interval", "forget")
    @classmethod
    def _positive(cls, value: timedelta) -> timedelta:
        if value < MINUTE:
            raise ValueError("must be at least 1m")
        return value

    @field_validator("signal")
    @classmethod
    def _known_signal(cls, value: str) -> str:
        if value not in SIGNALS:
            raise ValueError(f"unknown signal {value!r}; known are {', '.join(sorted(SIGNALS))}")
        return value

    @field_validator("labels")
    @classmethod
    def _own_labels(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name in RESERVED_LABELS:
                raise ValueError(f"the label {name!r} is set by the chain; choose another name")
        for name, text in value.items():
            if "{{" in text:
                raise ValueError(
                    f"label {name!r} is a template; a label that depends on the value would "
                    "change the alert's identity: put it into annotations"
                )
        return value

    @field_validator("annotations")
    @classmethod
    def _templates(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            check_template(name, text)
        return value

    @model_validator(mode="after")
    def _labels_of_signal(self) -> Policy:
        known = self.family.labels
        for field, names in (("by", self.by or ()), ("where", tuple(self.where))):
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"{field} names the label {name!r}, which {self.signal} does not have; "
                        f"it has {', '.join(known)}"
                    )
        if self.by is not None and len(set(self.by)) < len(self.by):
            raise ValueError("by names a label twice")
        return self

    @property
    def signal_definition(self) -> Signal:
        return SIGNALS[self.signal]

    @property
    def family(self) -> Family:
        return self.signal_definition.family

    @property
    def group_labels(self) -> tuple[str, ...]:
        """The labels that tell this policy's series apart."""
        return self.family.labels if self.by is None else self.by

    @property
    def interval(self) -> int:
        """Minutes between evaluations."""
        return _minutes(self.evaluation_interval)

    @property
    def present_for(self) -> timedelta:
        """How long after the newest evaluation its state counts as the present one."""
        return max(timedelta(minutes=15), 2 * self.evaluation_interval)

    @property
    def for_minutes(self) -> int:
        return _minutes(self.for_)

    @property
    def keep_minutes(self) -> int:
        return _minutes(self.keep_firing_for)

    @property
    def forget_minutes(self) -> int:
        return _minutes(self.forget)

    @property
    def delay_minutes(self) -> int:
        return _minutes(self.delay)

    @property
    def lookback_minutes(self) -> int:
        """Minutes before an evaluation that its class is computed from, delay included."""
        raise AttributeError(f"kind {self.kind} states no lookback")

    @property
    def needs_memory(self) -> bool:
        """Whether the class of a series without samples depends on when it last had one."""
        return True

    @property
    def worst(self) -> np.ufunc:
        """np.fmin where lower values are worse, else np.fmax."""
        return np.fmax

    @property
    def memory_minutes(self) -> int:
        """How far back a sample can still matter: a series is forgotten after ``forget`` of
        covered time, at the latest after twice that on the clock."""
        return 2 * self.forget_minutes if self.needs_memory else 0

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells this policy's series from those of an edited one."""
        return {
            "kind": self.kind,
            "signal": self.signal,
            "by": sorted(self.group_labels),
            "where": {
                name: sorted([value] if isinstance(value, str) else value)
                for name, value in sorted(self.where.items())
            },
        }


class ThresholdPolicy(Policy):
    """A signal, aggregated over a window, against a condition.

    The value at evaluation time t is the aggregate over the minutes that end in (t - window, t].
    """

    kind: Literal["threshold"] = "threshold"
    window: Duration = timedelta(minutes=5)
    aggregate: Aggregate | None = Field(
        default=None, description="over time; default sum for counts, avg for gauges"
    )
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="for quantile signals, for example 0.95"
    )
    condition: Condition
    recover: Condition | None = Field(
        default=None, description="a firing alert is over only when this holds (hysteresis)"
    )
    min_samples: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="fewer requests (ratio, quantile) or samples (gauge) in the window: no value",
    )
    min_coverage: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="share of the window that must be covered; default 1 up to 15m, else 0.9",
    )

    @field_validator("window")
    @classmethod
    def _window(cls, value: timedelta) -> timedelta:
        if value < MINUTE:
            raise ValueError("must be at least 1m")
        return _check_minutes(value)

    @model_validator(mode="after")
    def _fits_the_signal(self) -> ThresholdPolicy:
        kind = self.signal_definition.kind
        if kind == "quantile" and self.quantile is None:
            raise ValueError(f"{self.signal} needs a quantile, for example quantile: 0.95")
        if kind != "quantile" and self.quantile is not None:
            raise ValueError(f"{self.signal} is a {kind}: quantile does not apply")
        if kind in ("ratio", "quantile") and self.aggregate is not None:
            raise ValueError(f"{self.signal} is a {kind} over the whole window: drop aggregate")
        if kind == "count" and self.min_samples != 1:
            raise ValueError(f"{self.signal} is a count: min_samples does not apply")
        return self

    @property
    def window_minutes(self) -> int:
        return _minutes(self.window)

    @property
    def lookback_minutes(self) -> int:
        return self.window_minutes + self.delay_minutes

    @property
    def worst(self) -> np.ufunc:
        return self.condition.worst

    @property
    def coverage_needed(self) -> float:
        if self.min_coverage is not None:
            return self.min_coverage
        return 1.0 if self.window_minutes <= 15 else 0.9

    @property
    def needs_memory(self) -> bool:
        if self.signal_definition.kind != "count":
            return self.no_data != "ok"
        zero = np.zeros(1)
        quiet = not self.condition.holds(zero)[0]
        return not (quiet and (self.recover is None or self.recover.holds(zero)[0]))
