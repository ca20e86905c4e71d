"""Settings of the collector container_stats."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

from monitoring.duration import Duration
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from include.collectors.container_stats.credentials import TlsSettings
from include.collectors.container_stats.runtimes import runtime_names

#: Where the cluster is that this process runs in, if it runs in one.
IN_CLUSTER = "in-cluster"
_SCHEMES = ("unix://", "tcp://", "http://", "https://")


class EngineHost(BaseModel):
    """What runs containers, by the name that its series carry as ``host``.

    Attributes:
        name: label ``host``, and the source's name in the ledger.
        runtime: docker, podman or kubernetes.
        url: ``unix:///var/run/docker.sock``, ``tcp://10.0.0.5:2376``, ``https://10.0.0.1:6443``;
            for kubernetes also ``in-cluster``, the one that this process runs in.
        timeout_s: seconds that it may take; by default the section's.
        tls: certificates, for ``tcp://`` with TLS and ``https://``.
        connection: id of an Airflow connection. Docker, Podman: of type docker; it logs in to its
            image registry. Kubernetes: its password is the token.
        token, token_file: Kubernetes: the service account's token, or the file that holds it.
        namespaces: Kubernetes: only these; by default all.
        include: label → glob; only containers that match all of them are looked at. ``container``,
            ``service`` and ``image`` are the labels of the series, other names the container's own.
        exclude: label → glob; containers that match any of them are left out.
        manifests: folder of Kubernetes manifests that declare what should run here.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=255)
    runtime: str = "docker"
    url: str
    timeout_s: float | None = Field(default=None, gt=0, le=600)
    tls: TlsSettings | None = None
    connection: str | None = None
    token: SecretStr | None = None
    token_file: str | None = None
    namespaces: list[str] = Field(default_factory=list)
    include: dict[str, str] = Field(default_factory=dict)
    exclude: dict[str, str] = Field(default_factory=dict)
    manifests: str | None = None

    @field_validator("runtime")
    @classmethod
    def _known_runtime(cls, name: str) -> str:
        if name not in runtime_names():
            raise ValueError(f"{name!r} is no runtime; there are {', '.join(runtime_names())}")
        return name

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        if url != IN_CLUSTER and not url.startswith(_SCHEMES):
            raise ValueError(
                f"{url!r} does not lead to an engine; write it as unix:///var/run/docker.sock "
                "or tcp://10.0.0.5:2375"
            )
        if "@" in urlsplit(url).netloc:
            raise ValueError("a URL must hold no login, as it is shown; use tls or connection")
        return url

    @model_validator(mode="after")
    def _fits_runtime(self) -> Self:
        if self.runtime == "kubernetes":
            if not self.url.startswith(("https://", "http://", IN_CLUSTER)):
                raise ValueError(f"a cluster's url is https://… or {IN_CLUSTER}, not {self.url!r}")
            return self
        for name in ("token", "token_file", "namespaces"):
            if getattr(self, name):
                raise ValueError(f"{name} is for runtime: kubernetes")
        if self.url == IN_CLUSTER:
            raise ValueError(f"{IN_CLUSTER} is for runtime: kubernetes")
        if self.tls is not None and not self.url.startswith(("tcp://", "https://")):
            raise ValueError(f"tls is for tcp:// and https://, not for {self.url!r}")
        return self


class ContainerStatsSettings(BaseModel):
    """Which engines are asked, and how patiently.

    Attributes:
        cadence: how often the schedule takes a sample. A sample says something of this long before
            the window's end, and can be taken for this long after it.
        timeout_s: seconds that one host may take.
        hosts_at_once: hosts that are asked at the same time.
        concurrency: containers of one engine that are asked for at the same time. Some engines
            take a second for each measurement, busy or not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cadence: Duration = timedelta(minutes=5)
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    concurrency: int = Field(default=32, ge=1, le=128)
    hosts_at_once: int = Field(default=16, ge=1, le=64)
    hosts: list[EngineHost] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.cadence < timedelta(minutes=1):
            raise ValueError("cadence is shorter than 1m, and a sample stands for a minute")
        twice = [name for name, n in Counter(host.name for host in self.hosts).items() if n > 1]
        if twice:
            raise ValueError(f"two hosts are called {twice[0]!r}; names tell their series apart")
        return self

    def time_limit(self, host: EngineHost) -> float:
        """Seconds that ``host`` may take."""
        return self.timeout_s if host.timeout_s is None else host.timeout_s
