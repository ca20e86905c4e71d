"""Kind ``composite``: a combination of other policies, joined on labels that they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from monitoring.policy.definition import NoData, Policy


class CompositePolicy(Policy):
    """It breaches where every policy of ``all`` fires, at least one of ``any`` (if there are
    some), and none of ``unless``.

    A policy fires for a group of the composite's labels where any of its series in that group
    does, whatever operators did about it. Where one is unknown, the result is known only if it
    doesn't depend on that one.
    """

    kind: Literal["composite"] = "composite"
    all: tuple[str, ...] = Field(default=(), description="names of policies that must all fire")
    any: tuple[str, ...] = Field(default=(), description="of these at least one must fire")
    unless: tuple[str, ...] = Field(default=(), description="of these none may fire")
    by: tuple[str, ...] | None = Field(
        default=None,
        description="labels on which the policies are joined; default: all that they share",
    )

    @field_validator("by")
    @classmethod
    def _no_label_twice(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("names a label twice")
        return value

    @model_validator(mode="after")
    def _has_operands(self) -> CompositePolicy:
        if not self.all and not self.any:
            raise ValueError("name at least one policy in all or in any")
        if len(set(self.operands)) < len((*self.all, *self.any, *self.unless)):
            raise ValueError("a policy is named twice among all, any and unless")
        return self

    @property
    def operands(self) -> tuple[str, ...]:
        """The names of the policies that it combines."""
        return tuple(dict.fromkeys((*self.all, *self.any, *self.unless)))

    @property
    def group_labels(self) -> tuple[str, ...]:
        return self.by or ()

    @property
    def family_name(self) -> str:
        return ""

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": self.kind, "by": sorted(self.group_labels)}

    @property
    def lookback_minutes(self) -> int:
        return 0

    @property
    def missing_is(self) -> NoData:
        return "ok"
