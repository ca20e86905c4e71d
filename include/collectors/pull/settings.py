"""Settings of the collector pull."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

from monitoring.duration import Duration
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from include.collectors.nodes.wire import FAMILIES, Kind, NodeName

_STRICT = ConfigDict(extra="forbid", frozen=True)


class PullNode(BaseModel):
    """A node that is asked for what it holds.

    Attributes:
        name: the node's, in the ledger and in the labels of what comes from it.
        url: the base address of its API, as http://10.0.0.7:8790.
        key: an API key of it with the scope read; write it as ``${NAME}``.
        kinds: what it is asked for.
    """

    model_config = _STRICT

    name: NodeName
    url: str
    key: SecretStr | None = None
    kinds: list[Kind] = Field(default_factory=lambda: list(FAMILIES), min_length=1)

    @field_validator("url")
    @classmethod
    def _plain(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            plain = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            plain = False
        if not plain or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "is not the base address of a node; write it as http://10.0.0.7:8790, with the "
                "key in `key`"
            )
        return url.rstrip("/")


class PullSettings(BaseModel):
    """Which nodes are asked, and how patiently.

    Attributes:
        timeout_s: seconds that one node may take; nodes are asked at the same time.
        lookback: how far before a window a node is asked what it covers, and at first for rows.
        max_clock_skew: a node whose clock is further from ours is not read.
    """

    model_config = _STRICT

    timeout_s: float = Field(default=30.0, gt=0, le=600)
    lookback: Duration = timedelta(days=1)
    max_clock_skew: Duration = timedelta(minutes=5)
    nodes: list[PullNode] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.lookback < timedelta(minutes=1):
            raise ValueError("lookback is shorter than 1m, and nodes tell of minutes")
        twice = [name for name, n in Counter(node.name for node in self.nodes).items() if n > 1]
        if twice:
            raise ValueError(f"two nodes are called {twice[0]!r}; names tell what is whose")
        return self
