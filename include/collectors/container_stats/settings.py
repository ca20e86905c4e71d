"""Settings of the collector container_stats."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from monitoring.duration import Duration


class EngineHost(BaseModel):
    """A Docker Engine, by the name that its series carry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    url: str


class ContainerStatsSettings(BaseModel):
    """``cadence`` is how often the schedule takes a sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cadence: Duration = timedelta(minutes=5)
    hosts: list[EngineHost] = Field(default_factory=list)
