"""Kind ``baseline``: a window against what is usual at that time of day or week."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from monitoring.duration import Duration, format_duration
from monitoring.policy.direction import Direction, worst_of
from monitoring.policy.season import SEASON_MINUTES, Season
from monitoring.policy.signal_policy import MeasuredPolicy

#: Fewer references have no spread worth the name.
FEWEST_SEASONS = 3
_DEFAULT_SEASONS: Mapping[Season, int] = {"day": 14, "week": 6}


class BaselinePolicy(MeasuredPolicy):
    """The value of the window, against the same window of the seasons before, series by series.

    The value of an evaluation is the modified z-score: see ``monitoring.scoring.baseline``. A
    series with fewer than ``min_seasons`` references is quiet: its state is unknown.
    """

    kind: Literal["baseline"] = "baseline"
    cooldown: Duration = Field(
        default=timedelta(hours=1),
        description="known time after an alert resolved in which its series opens no other; "
        "default 1h, so that a level shift is one alert",
    )
    season: Season = "day"
    seasons: Annotated[int, Field(ge=FEWEST_SEASONS, le=60)] | None = Field(
        default=None, description="how many are looked back at; default 14 days or 6 weeks"
    )
    min_seasons: Annotated[int, Field(ge=FEWEST_SEASONS)] | None = Field(
        default=None,
        description="with a reference in fewer, a series is unknown; default half of seasons, and "
        "at least 3",
    )
    threshold: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=3.5, description="modified z-score beyond which the value breaches"
    )
    direction: Direction = "both"
    min_difference: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0,
        description="in the signal's unit: a value nearer than that to the median is no breach",
    )

    @model_validator(mode="after")
    def _enough_seasons(self) -> BaselinePolicy:
        if self.seasons_needed > self.seasons_back:
            raise ValueError(
                f"min_seasons ({self.seasons_needed}) must not be more than seasons "
                f"({self.seasons_back}): there would never be enough"
            )
        if self.window_minutes > SEASON_MINUTES[self.season]:
            raise ValueError(
                f"window ({format_duration(self.window)}) must not be longer than the season, a "
                f"{self.season}"
            )
        return self

    @property
    def seasons_back(self) -> int:
        return _DEFAULT_SEASONS[self.season] if self.seasons is None else self.seasons

    @property
    def seasons_needed(self) -> int:
        if self.min_seasons is not None:
            return self.min_seasons
        return max(FEWEST_SEASONS, (self.seasons_back + 1) // 2)

    @property
    def offsets(self) -> tuple[int, ...]:
        """How many minutes earlier each reference is, ascending."""
        season = SEASON_MINUTES[self.season]
        return tuple(number * season for number in range(1, self.seasons_back + 1))

    @property
    def lookback_minutes(self) -> int:
        return super().lookback_minutes + self.offsets[-1]

    def worst(self, values: NDArray[np.float64]) -> float:
        return worst_of(values, self.direction, np.abs(values))
