"""Kind ``change``: a window against an earlier one."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator, model_validator

from monitoring.duration import format_duration
from monitoring.policy.direction import Direction, worst_of
from monitoring.policy.season import SEASON_MINUTES
from monitoring.policy.signal_policy import MeasuredPolicy

Finite = Annotated[float, Field(allow_inf_nan=False)]


class ChangePolicy(MeasuredPolicy):
    """The value of the window, against that of a reference: the window just before, or the same
    one a day or a week earlier.

    The value of an evaluation is current / reference, or current - reference in the signal's
    unit. There is nothing to compare, so no breach, where either is below its floor, or where the
    series did not exist yet when the reference began.
    """

    kind: Literal["change"] = "change"
    compare: Literal["previous", "day", "week"] = Field(
        default="previous",
        description="the window just before, or the same window a day or a week earlier",
    )
    measure: Literal["ratio", "difference"] = "ratio"
    direction: Direction = "both"
    threshold: Finite = Field(
        description="ratio: above 1; up breaches over it, down under 1/threshold. difference: "
        "above 0, in the signal's unit"
    )
    min_reference: Finite | None = Field(
        default=None,
        description="a smaller reference is not compared with; default of ratios of counts: 1",
    )
    min_current: Finite | None = Field(
        default=None, description="a smaller current value is not compared"
    )

    @field_validator("threshold")
    @classmethod
    def _threshold(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("measure") == "ratio" and value <= 1:
            raise ValueError("must be above 1 for a ratio; direction says which way, so 2 is also "
                             "half as much")  # fmt: skip
        if info.data.get("measure") == "difference" and value <= 0:
            raise ValueError("must be above 0 for a difference; direction says which way")
        return value

    @field_validator("min_reference")
    @classmethod
    def _divides(cls, value: float | None, info: ValidationInfo) -> float | None:
        if info.data.get("measure") == "ratio" and value is not None and value <= 0:
            raise ValueError("must be above 0: a ratio divides by the reference")
        return value

    @model_validator(mode="after")
    def _has_a_floor(self) -> ChangePolicy:
        kind = self.signal_definition.kind
        if self.measure == "ratio" and self.min_reference is None and kind != "count":
            raise ValueError(
                f"min_reference is needed for a ratio of {self.signal}, a {kind}: say below which "
                f"reference, in {self.signal_definition.unit}, there is nothing to compare"
            )
        return self

    @model_validator(mode="after")
    def _windows_apart(self) -> ChangePolicy:
        if self.window_minutes > self.offset_minutes:
            raise ValueError(
                f"window ({format_duration(self.window)}) must not be longer than a "
                f"{self.compare}: it would overlap its reference"
            )
        return self

    @property
    def offset_minutes(self) -> int:
        """How much earlier the reference is."""
        if self.compare == "previous":
            return self.window_minutes
        return SEASON_MINUTES[self.compare]

    @property
    def reference_floor(self) -> float:
        if self.min_reference is not None:
            return self.min_reference
        return 1.0 if self.measure == "ratio" else -np.inf

    @property
    def current_floor(self) -> float:
        return -np.inf if self.min_current is None else self.min_current

    @property
    def bounds(self) -> tuple[float, float]:
        """Values below the first are a change down, above the second a change up."""
        low = 1 / self.threshold if self.measure == "ratio" else -self.threshold
        return low, self.threshold

    @property
    def lookback_minutes(self) -> int:
        return super().lookback_minutes + self.offset_minutes

    def worst(self, values: NDArray[np.float64]) -> float:
        if self.measure == "difference":
            return worst_of(values, self.direction, np.abs(values))
        with np.errstate(divide="ignore"):
            return worst_of(values, self.direction, np.abs(np.log(values)))
