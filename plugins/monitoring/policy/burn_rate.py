"""Kind ``burn_rate``: how fast an error budget is used up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from monitoring.duration import Duration, format_duration
from monitoring.policy.definition import MINUTE, at_least_a_minute
from monitoring.policy.signal_policy import SeriesPolicy
from monitoring.signals import CATALOGUE, SIGNALS, Catalogue, Signal


class BurnWindows(BaseModel):
    """A long window, which shows that the budget burns, and a short one, which shows that it
    still does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    long: Duration
    short: Duration
    factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        description="burn rate that both windows must exceed; 1 uses the budget up exactly"
    )

    @field_validator("long", "short")
    @classmethod
    def _minutes(cls, value: timedelta) -> timedelta:
        return at_least_a_minute(value)

    @field_validator("short")
    @classmethod
    def _shorter(cls, value: timedelta, info: ValidationInfo) -> timedelta:
        long = info.data.get("long")
        if long is not None and value >= long:
            raise ValueError(f"must be shorter than long ({format_duration(long)})")
        return value

    @property
    def long_minutes(self) -> int:
        return self.long // MINUTE

    @property
    def short_minutes(self) -> int:
        return self.short // MINUTE


def _pair(long: str, short: str, factor: float) -> BurnWindows:
    return BurnWindows.model_validate({"long": long, "short": short, "factor": factor})


#: For a budget of 30 days: 2 % of it in an hour or 5 % in six; 10 % in one day or in three.
SHORTHANDS: Mapping[str, tuple[BurnWindows, ...]] = {
    "page": (_pair("1h", "5m", 14.4), _pair("6h", "30m", 6.0)),
    "ticket": (_pair("1d", "2h", 3.0), _pair("3d", "6h", 1.0)),
}


def _expanded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in SHORTHANDS:
        raise ValueError(
            f"{value!r} is not known; write {' or '.join(SHORTHANDS)}, or a list of "
            "{long, short, factor}"
        )
    return SHORTHANDS[value]


_Pairs = Annotated[list[BurnWindows], Field(min_length=1)]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_COUNTS = {
    "type": "string",
    "enum": sorted(name for name, signal in SIGNALS.items() if signal.kind == "count"),
}


class BurnRatePolicy(SeriesPolicy):
    """The share of errors breaches where, for a pair of windows, it is more than ``factor`` times
    the budget (1 - objective) in both.

    This is the alert of multiple windows and burn rates in The Site Reliability Workbook (Google,
    2018), chapter 5, Alerting on SLOs; so are the windows of ``page`` and ``ticket``.

    The value of an evaluation is the burn rate, errors / total / (1 - objective), in the long
    window of the pair that is nearest to a breach, or furthest past it.
    """

    kind: Literal["burn_rate"] = "burn_rate"
    errors: Annotated[
        tuple[str, ...],
        Field(min_length=1),
        BeforeValidator(_listed),
        WithJsonSchema({"anyOf": [_COUNTS, {"type": "array", "items": _COUNTS, "minItems": 1}]}),
    ] = Field(description="counts that are added up to the errors")
    total: Annotated[str, WithJsonSchema(_COUNTS)] = Field(
        description="the count of what could have been an error"
    )
    objective: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="share that must not be an error, such as 0.999"
    )
    windows: Annotated[
        tuple[BurnWindows, ...],
        Field(min_length=1),
        BeforeValidator(_expanded, json_schema_input_type=Literal["page", "ticket"] | _Pairs),
    ] = Field(
        default=SHORTHANDS["page"],
        description="pairs of windows with their factor, or page or ticket; default page",
    )
    min_samples: Annotated[int, Field(ge=1)] = Field(
        default=1, description="with less of total in the long window there is no value"
    )

    @field_validator("errors", "total")
    @classmethod
    def _known_counts(cls, value: Any, info: ValidationInfo) -> Any:
        catalogue: Catalogue = (info.context or {}).get("catalogue", CATALOGUE)
        names = (value,) if isinstance(value, str) else value
        for name in names:
            kind = catalogue.find(name, "sum").kind
            if kind != "count":
                raise ValueError(f"{name} is a {kind}; a burn rate is computed from counts")
            if names.count(name) > 1:
                raise ValueError(f"{name} is named twice")
        return value

    @model_validator(mode="after")
    def _can_breach(self) -> BurnRatePolicy:
        if min(self.bound(pair) for pair in self.windows) >= 1:
            raise ValueError(
                f"windows with an objective of {self.objective:g} can never breach: more than all "
                "would have to be errors; lower the factor, or raise the objective"
            )
        return self

    def find_signals(self, catalogue: Catalogue) -> Iterable[Signal]:
        # sorted: another order is the same policy
        return tuple(catalogue.find(name, "sum") for name in (*sorted(self.errors), self.total))

    @property
    def budget(self) -> float:
        """Share that may be errors."""
        return 1 - self.objective

    def bound(self, pair: BurnWindows) -> float:
        """The share of errors that both windows of ``pair`` must exceed.

        It is rounded, as 1 - 0.9 is not quite 0.1.
        """
        return round(pair.factor * self.budget, 12)

    @property
    def lookback_minutes(self) -> int:
        return max(pair.long_minutes for pair in self.windows) + self.delay_minutes

    @property
    def needs_memory(self) -> bool:
        return self.no_data != "ok"
