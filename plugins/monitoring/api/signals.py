"""Routes: what can be looked at, and its values over time, for charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from monitoring.api.access import requires
from monitoring.api.parameters import Since, Until
from monitoring.api.store import StoreDep
from monitoring.chart import Chart, charted, read_chart
from monitoring.duration import format_duration, parse_duration
from monitoring.policy.signal_policy import MeasuredPolicy
from monitoring.signals import SIGNALS, Aggregate, Kind, Signal
from userdb.errors import InvalidRequestError, NotFoundError
from userdb.times import from_minute, to_minute, to_minute_up

router = APIRouter(prefix="/signals", tags=["signals"], dependencies=[Depends(requires("read"))])

_AGGREGATES = get_args(Aggregate)
#: Steps that are chosen where none is given: the first that makes no more points than this.
_STEPS = tuple(
    timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 6 * 60, 24 * 60, 7 * 24 * 60)
)
_POINTS = 500
_DEFAULT_RANGE = timedelta(hours=6)
_LONGEST_STEP = timedelta(days=366)


class SignalView(BaseModel):
    """Something that policies can look at."""

    name: str = Field(examples=["requests.timeout_ratio"])
    family: str = Field(examples=["request"])
    collector: str = Field(description="who fills it", examples=["request_logs"])
    kind: Kind = Field(description="how it adds up over time and series")
    unit: str = Field(examples=["share"])
    meaning: str
    labels: list[str] = Field(description="that its series have", examples=[["service", "route"]])
    aggregates: list[Aggregate] = Field(
        description="over time, the default first; none for ratios and quantiles, which are "
        "taken over the whole step"
    )

    @classmethod
    def of(cls, signal: Signal) -> SignalView:
        measured = signal.kind in ("count", "gauge")
        others = [one for one in _AGGREGATES if one != signal.aggregate]
        return cls(
            name=signal.name,
            family=signal.family.name,
            collector=signal.family.collector,
            kind=signal.kind,
            unit=signal.unit,
            meaning=signal.meaning,
            labels=list(signal.family.labels),
            aggregates=[signal.aggregate, *others] if measured else [],
        )


class SeriesValues(BaseModel):
    """One series of a chart."""

    labels: dict[str, str] = Field(examples=[{"service": "sim-1"}])
    values: list[float | None] = Field(
        description="one a step; null where it is unknown or has no value"
    )


class SeriesChart(BaseModel):
    """A signal over time. All lists of points are of one length: one entry a step."""

    signal: str
    unit: str
    step: str = Field(description="length of a step", examples=["5m"])
    times: list[datetime] = Field(description="when each step begins")
    coverage: list[float] = Field(
        description="share of each step that was collected, 0 to 1; values are null where that is "
        "too little to tell (less than 1 up to 15m, else less than 0.9), or the newest minute "
        "was not collected"
    )
    series: list[SeriesValues] = Field(description="by labels")
    left_out: int = Field(
        description="how many series there are besides: those with lower peaks than all of these"
    )

    @classmethod
    def of(cls, what: MeasuredPolicy, chart: Chart) -> SeriesChart:
        return cls(
            signal=what.signal,
            unit=what.signal_definition.unit,
            step=format_duration(what.window),
            times=[from_minute(minute) for minute in chart.starts.tolist()],
            coverage=chart.coverage.tolist(),
            series=[
                SeriesValues(
                    labels=labels,
                    values=[None if isnan(one) else one for one in values.tolist()],
                )
                for labels, values in zip(chart.groups, chart.values, strict=True)
            ],
            left_out=chart.left_out,
        )


@router.get("", summary="Signals")
def signals() -> list[SignalView]:
    """The catalogue: names, kinds, units, labels."""
    return [SignalView.of(signal) for signal in SIGNALS.values()]


@router.get("/{name}/series", summary="A signal over time")
def series(
    store: StoreDep,
    name: Annotated[str, Path(max_length=64, examples=["requests.timeout_ratio"])],
    *,
    since: Since = None,
    until: Until = None,
    step: Annotated[
        str | None,
        Query(
            max_length=20,
            description="5m, 1h; whole minutes; default: so that there are up to 500 points",
            examples=["5m"],
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        Query(max_length=10, description="labels that tell series apart; default: all"),
    ] = None,
    where: Annotated[
        list[str],
        Query(
            max_length=20,
            description="`label=pattern`, with * and ?; of one label any, of all labels each",
            examples=[["service=sim-*"]],
        ),
    ] = [],  # noqa: B006 - FastAPI copies it
    aggregate: Annotated[Aggregate | None, Query(description="over a step's minutes")] = None,
    quantile: Annotated[
        float | None, Query(gt=0, lt=1, description="for latencies, and for aggregate quantile")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="at most so many series")] = 50,
) -> SeriesChart:
    """Values of [from, to), default: the last 6 hours, in whole steps since 1970.

    They are what policies with that window see at each step's end. A count is zero where it was
    collected and nothing came; what was not collected is null.
    """
    if name not in SIGNALS:
        raise NotFoundError(f"there is no signal {name}; /api/v1/signals lists them")
    end = _whole_end(until, datetime.now(UTC))
    begin = end - _DEFAULT_RANGE if since is None else since
    if begin >= end:
        raise InvalidRequestError.of("from", "from must lie before to, and before now")
    what = charted(
        signal=name,
        window=_default_step(end - begin) if step is None else _step(step),
        by=by or None,
        where=_patterns(where),
        aggregate=aggregate,
        quantile=quantile,
    )
    with store.read() as connection:
        chart = read_chart(
            store, connection, what, to_minute(begin), to_minute(end), max_series=limit
        )
    return SeriesChart.of(what, chart)


def _whole_end(until: datetime | None, now: datetime) -> datetime:
    """The end, not after the minute that is now."""
    return from_minute(to_minute_up(now if until is None else min(until, now)))


def _default_step(length: timedelta) -> timedelta:
    return next((one for one in _STEPS if length <= one * _POINTS), _STEPS[-1])


def _step(text: str) -> timedelta:
    try:
        step = parse_duration(text)
    except ValueError as error:
        raise InvalidRequestError.of("step", f"step: {error}") from None
    if step > _LONGEST_STEP:
        raise InvalidRequestError.of("step", f"step: at most {format_duration(_LONGEST_STEP)}")
    return step


def _patterns(texts: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        label, equals, pattern = text.partition("=")
        if not equals:
            raise InvalidRequestError.of(
                "where", f"where {text!r} is no label=pattern, such as service=sim-*"
            )
        found.setdefault(label.strip(), []).append(pattern)
    return found
