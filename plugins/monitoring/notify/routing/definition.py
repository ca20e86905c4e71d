"""routing.yaml as it is written: the tree of routes, inhibition, time intervals. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from monitoring.alerts.matchers import MatcherField
from monitoring.alerts.time_intervals import TimeInterval
from monitoring.duration import Duration

#: Receiver of a route: everyone who is set up.
EVERYONE = "*"
#: group_by: every alert is a group of its own.
ALL_LABELS = "..."

T = TypeVar("T")


def _not_empty(value: tuple[T, ...]) -> tuple[T, ...]:
    # Field(min_length=1) would tell of a list that is empty where its entries are wrong
    if not value:
        raise ValueError("must not be empty")
    return value


#: ... and so an editor is told.
_NOT_EMPTY = (AfterValidator(_not_empty), Field(json_schema_extra={"minItems": 1}))
Name = Annotated[str, Field(min_length=1, max_length=128)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Step(_Part):
    """An alert that nobody has acknowledged ``after`` it was told is told to ``receiver``."""

    after: Duration
    receiver: Name

    @field_validator("after")
    @classmethod
    def _later(cls, value: timedelta) -> timedelta:
        if value <= timedelta(0):
            raise ValueError("must be longer than 0; who is to be told at once gets a route")
        return value


class RouteSpec(_Part):
    """A node of the tree. None: as its parent has it; of the root: see ``tree``."""

    matchers: tuple[MatcherField, ...] = ()
    receiver: Name | None = None
    group_by: tuple[str, ...] | None = None
    group_wait: Duration | None = None
    group_interval: Duration | None = None
    repeat_interval: Duration | None = None
    mute_times: tuple[str, ...] = ()
    active_times: tuple[str, ...] = ()
    escalate: tuple[Step, ...] | None = None
    go_on: bool = Field(False, alias="continue")
    routes: tuple[RouteSpec, ...] = ()

    @field_validator("group_by")
    @classmethod
    def _all_or_some(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value and ALL_LABELS in value and len(value) > 1:
            raise ValueError('"..." means all labels; it stands alone')
        if value and len(set(value)) < len(value):
            raise ValueError("a label is given twice")
        return value

    @field_validator("repeat_interval")
    @classmethod
    def _not_at_once(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value < timedelta(minutes=1):
            raise ValueError("must be at least 1m")
        return value

    @model_validator(mode="after")
    def _steps_lead_to_others(self) -> Self:
        steps = self.escalate or ()
        names = [one.receiver for one in steps]
        if EVERYONE in names:
            raise ValueError('escalate: each step names one receiver, not "*"')
        if len(set(names)) < len(names):
            raise ValueError("escalate: two steps have the same receiver; it is told once")
        if self.receiver in names:
            raise ValueError(f"escalate: {self.receiver!r} is the route's receiver, told already")
        if [one.after for one in steps] != sorted({one.after for one in steps}):
            raise ValueError("escalate: each step comes later than the one before")
        return self


class InhibitRule(_Part):
    """While an alert fires that the source's matchers match, nobody is told of those that the
    target's do, where both agree in the labels of ``equal``."""

    source_matchers: Annotated[tuple[MatcherField, ...], *_NOT_EMPTY]
    target_matchers: Annotated[tuple[MatcherField, ...], *_NOT_EMPTY]
    equal: tuple[str, ...] = ()


class NamedIntervals(_Part):
    """What routes name in ``mute_times`` and ``active_times``: holds while any of them does."""

    name: Name
    time_intervals: Annotated[tuple[TimeInterval, ...], *_NOT_EMPTY]


class RoutingSpec(_Part):
    """The file, without its receivers (``monitoring.notify.receiver_spec``)."""

    route: RouteSpec = Field(default_factory=lambda: RouteSpec.model_validate({}))
    inhibit_rules: tuple[InhibitRule, ...] = ()
    time_intervals: tuple[NamedIntervals, ...] = ()
