"""What every policy states, whatever its kind.

A kind is one model in a module beside this one, one module in ``monitoring.scoring``, and one line
in each of their registries (``monitoring.policy.kinds``, ``monitoring.scoring.registry``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from monitoring.duration import Duration
from monitoring.policy.annotations import check_template

MINUTE = timedelta(minutes=1)

NoData = Literal["hold", "ok", "alert", "resolve"]
Severity = Literal["info", "warning", "error", "critical"]

#: Labels that a receiver gets besides the series' own.
RESERVED_LABELS = frozenset({"alertname", "severity"})


def whole_minutes(value: timedelta) -> timedelta:
    """``value``; ValueError where it is not a whole number of minutes."""
    if value % MINUTE:
        raise ValueError("must be a whole number of minutes: that is the resolution")
    return value


def at_least_a_minute(value: timedelta) -> timedelta:
    """``value``; ValueError where it is no whole number of minutes, or less than one."""
    if value < MINUTE:
        raise ValueError("must be at least 1m")
    return whole_minutes(value)


class Flapping(BaseModel):
    """When an alert that opens and resolves again and again counts as flapping.

    From the evaluation that makes it ``changes`` changes of state (firing, resolved) within the
    last ``lookback`` known evaluations, until as many have passed without one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lookback: Annotated[int, Field(ge=2, le=1000)] = 20
    changes: Annotated[int, Field(ge=2)] = 4


class Policy(BaseModel):
    """What all kinds share.

    Every field that changes which series there are (``identity``) ends the old series' alerts
    when it is edited.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=100)]
    kind: str
    for_: Duration = Field(default=timedelta(0), alias="for")
    keep_firing_for: Duration = timedelta(0)
    cooldown: Duration = Field(
        default=timedelta(0),
        description="known time after an alert resolved in which its series opens no other",
    )
    flapping: Flapping | None = Field(
        default=Flapping(), description="when an alert counts as flapping; null: never"
    )
    evaluation_interval: Duration = timedelta(minutes=1)
    severity: Severity = "warning"
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    @field_validator("for_", "keep_firing_for", "cooldown")
    @classmethod
    def _whole_minutes(cls, value: timedelta) -> timedelta:
        return whole_minutes(value)

    @field_validator("evaluation_interval")
    @classmethod
    def _positive(cls, value: timedelta) -> timedelta:
        return at_least_a_minute(value)

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

    # --- what kinds say of themselves -------------------------------------------------------------

    @property
    def group_labels(self) -> tuple[str, ...]:
        """The labels that tell this policy's series apart."""
        raise NotImplementedError

    @property
    def family_name(self) -> str:
        """The family whose minutes it looks at; empty where it looks at other policies."""
        raise NotImplementedError

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells this policy's series from those of an edited one."""
        raise NotImplementedError

    @property
    def lookback_minutes(self) -> int:
        """Minutes before an evaluation that its class is computed from, delay included."""
        raise NotImplementedError

    @property
    def memory_minutes(self) -> int:
        """How much further back a sample can matter for whether a series exists."""
        return 0

    @property
    def reach_minutes(self) -> int:
        """How far before an evaluation scorers read: a minute further back can't change it."""
        return self.lookback_minutes + self.interval + self.memory_minutes

    @property
    def missing_is(self) -> NoData:
        """What the class ``missing`` means to the state machine."""
        return "hold"

    def worst(self, values: NDArray[np.float64]) -> float:
        """The worst of an interval's values (E,), E at least 1: the highest, unless a kind says
        otherwise. NaN only where all are."""
        return float(np.fmax.reduce(values))

    # --- durations in minutes ---------------------------------------------------------------------

    @property
    def interval(self) -> int:
        """Minutes between evaluations."""
        return self.evaluation_interval // MINUTE

    @property
    def present_for(self) -> timedelta:
        """How long after the newest evaluation its state counts as the present one."""
        return max(timedelta(minutes=15), 2 * self.evaluation_interval)

    @property
    def for_minutes(self) -> int:
        return self.for_ // MINUTE

    @property
    def keep_minutes(self) -> int:
        return self.keep_firing_for // MINUTE

    @property
    def cooldown_minutes(self) -> int:
        return self.cooldown // MINUTE
