"""Settings for nodes that push."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from include.collectors.nodes.wire import NodeName


class PushSettings(BaseModel):
    """Which nodes push.

    Attributes:
        nodes: their names. A minute is covered by pushes when each of these has covered it; none:
            when the node that pushed it has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: list[NodeName] = Field(default_factory=list)
