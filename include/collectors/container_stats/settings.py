"""Settings of the collector container_stats."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Self

from monitoring.duration import Duration
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_SCHEMES = ("unix://", "tcp://", "http://", "https://")


class EngineHost(BaseModel):
    """An engine that runs containers, by the name that its series carry as ``host``.

    Attributes:
        name: label ``host``, and the source's name in the ledger.
        url: ``unix:///var/run/docker.sock``, ``tcp://10.0.0.5:2375``, …
        connection: id of an Airflow connection of type docker; it logs in to its image registry.
        include: label → glob; only containers that match all of them are looked at. ``container``,
            ``service`` and ``image`` are the labels of the series, other names the container's own.
        exclude: label → glob; containers that match any of them are left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=255)
    url: str
    connection: str | None = None
    include: dict[str, str] = Field(default_factory=dict)
    exclude: dict[str, str] = Field(default_factory=dict)

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        if not url.startswith(_SCHEMES):
            raise ValueError(
                f"{url!r} does not lead to an engine; write it as unix:///var/run/docker.sock "
                "or tcp://10.0.0.5:2375"
            )
        return url


class ContainerStatsSettings(BaseModel):
    """Which engines are asked, and how patiently.

    Attributes:
        cadence: how often the schedule takes a sample. A sample says something of this long before
            the window's end, and can be taken for this long after it.
        timeout_s: seconds that one engine may take; engines are asked at the same time.
        concurrency: containers of one engine that are asked for at the same time. Some engines
            take a second for each measurement, busy or not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cadence: Duration = timedelta(minutes=5)
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    concurrency: int = Field(default=32, ge=1, le=128)
    hosts: list[EngineHost] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.cadence < timedelta(minutes=1):
            raise ValueError("cadence is shorter than 1m, and a sample stands for a minute")
        twice = [name for name, n in Counter(host.name for host in self.hosts).items() if n > 1]
        if twice:
            raise ValueError(f"two hosts are called {twice[0]!r}; names tell their series apart")
        return self
