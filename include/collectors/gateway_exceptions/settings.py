"""Settings of the collector gateway_exceptions."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GatewayExceptionsSettings(BaseModel):
    """Where reporters leave events that they could not write to userdb.

    ``spools`` are folders or globs of folders; empty means the reporters' own default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spools: list[str] = Field(default_factory=list)
