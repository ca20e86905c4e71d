"""Settings of the collector request_logs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitoring.duration import Duration


class LogSource(BaseModel):
    """A gateway's log: its files, their format, and how a request gets service and route."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    paths: list[str]
    format: str
    timezone: str | None = None
    service: dict[str, Any] = Field(default_factory=dict)
    route: dict[str, Any] = Field(default_factory=dict)


class RequestLogsSettings(BaseModel):
    """``lateness`` is how far before a window its files are read again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lateness: Duration = timedelta(minutes=10)
    keep: Literal["all", "exceptional", "none"] = "all"
    sources: list[LogSource] = Field(default_factory=list)
