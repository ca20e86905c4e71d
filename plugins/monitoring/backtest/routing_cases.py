"""What a unit test says of routing: alerts that are given, and messages that are expected. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from monitoring.alerts.matchers import MatcherField
from monitoring.alerts.silence import Silence
from monitoring.backtest.routes import (
    Acknowledgement,
    RoutedMessage,
    SimulatedAlert,
    alerts_of,
    simulate,
)
from monitoring.backtest.run import PolicyRun
from monitoring.duration import Duration, format_duration
from monitoring.notify.routing.tree import Routing
from monitoring.policy.definition import MINUTE, whole_minutes
from userdb.times import from_minute

Labels = Mapping[str, str]
Offset = Annotated[Duration, AfterValidator(whole_minutes)]


def _with_name(labels: dict[str, str]) -> dict[str, str]:
    if not labels.get("alertname"):
        raise ValueError("lacks the label alertname, which every alert has")
    return labels


AlertLabels = Annotated[dict[str, str], AfterValidator(_with_name)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class GivenAlert(_Part):
    """An alert besides those of the policies: it fires from ``from`` to ``to``."""

    labels: AlertLabels
    begin: Offset = Field(timedelta(0), alias="from")
    end: Offset | None = Field(None, alias="to")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end <= self.begin:
            raise ValueError("to is not after from: it would never fire")
        return self


class GivenSilence(_Part):
    matchers: Annotated[tuple[MatcherField, ...], Field(min_length=1)]
    begin: Offset = Field(timedelta(0), alias="from")
    end: Offset = Field(alias="to")


class GivenAcknowledgement(_Part):
    """At ``time`` somebody acknowledges the alerts that have these labels, and at ``until``
    takes that back."""

    time: Offset
    labels: dict[str, str]
    until: Offset | None = None


class MessageAlert(_Part):
    labels: AlertLabels
    status: Literal["firing", "resolved"] = "firing"


class ExpectedMessage(_Part):
    """One message: all of its alerts, with all labels that receivers get."""

    time: Offset
    receiver: str
    alerts: Annotated[tuple[MessageAlert, ...], Field(min_length=1)]


class RoutingCase(_Part):
    """The part of a test that is about routing. ``exp_routes`` are all messages, if given."""

    alerts: tuple[GivenAlert, ...] = ()
    silences: tuple[GivenSilence, ...] = ()
    acknowledgements: tuple[GivenAcknowledgement, ...] = ()
    exp_routes: tuple[ExpectedMessage, ...] | None = None

    def offsets(self) -> Iterator[timedelta]:
        """The times from the test's start that it names."""
        for alert in self.alerts:
            yield alert.begin
            if alert.end is not None:
                yield alert.end
        for message in self.exp_routes or ():
            yield message.time


def routed(
    case: RoutingCase, routing: Routing, runs: Mapping[str, PolicyRun], start: int, until: int
) -> list[RoutedMessage]:
    """The messages from the minute ``start`` to ``until``, both included."""
    given = [
        SimulatedAlert(
            one.labels,
            start + one.begin // MINUTE,
            None if one.end is None else start + one.end // MINUTE,
        )
        for one in case.alerts
    ]
    return simulate(
        routing,
        [*given, *(alert for run in runs.values() for alert in alerts_of(run))],
        range(start, until + 1),
        intervals={name: run.policy.interval for name, run in runs.items()},
        silences=[_silence(one, start) for one in case.silences],
        acknowledgements=[
            Acknowledgement(
                start + one.time // MINUTE,
                one.labels,
                None if one.until is None else start + one.until // MINUTE,
            )
            for one in case.acknowledgements
        ],
    )


def _silence(given: GivenSilence, start: int) -> Silence:
    begin = from_minute(start) + given.begin
    return Silence(
        id="",
        matchers=given.matchers,
        starts_at=begin,
        ends_at=from_minute(start) + given.end,
        author="",
        comment="",
        created_at=begin,
    )


def expected_lines(expected: Iterable[ExpectedMessage]) -> list[str]:
    """A line of text a message."""
    return [
        _line(one.time, one.receiver, [(alert.labels, alert.status) for alert in one.alerts])
        for one in expected
    ]


def routed_lines(messages: Iterable[RoutedMessage], start: int) -> list[str]:
    """The same of what came."""
    return [_line((one.at - start) * MINUTE, one.receiver, one.alerts) for one in messages]


def _line(at: timedelta, receiver: str, alerts: Sequence[tuple[Labels, Any]]) -> str:
    listed = sorted(f"{_labels(labels)} {status}" for labels, status in alerts)
    return f"{format_duration(at):>8} {receiver}: {', '.join(listed)}"


def _labels(labels: Labels) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"
