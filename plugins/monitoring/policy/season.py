"""Seasons: the times after which traffic repeats itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Season = Literal["day", "week"]
SEASON_MINUTES: Mapping[Season, int] = {"day": 24 * 60, "week": 7 * 24 * 60}
