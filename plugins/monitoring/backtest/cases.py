"""Unit tests of policies as files: promtool's shape, and what we add to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from monitoring.backtest.columns import Column, text_of
from monitoring.backtest.notation import expand
from monitoring.backtest.routing_cases import Offset, RoutingCase
from monitoring.duration import Duration
from monitoring.notify.routing.loader import load_valid_routing
from monitoring.notify.routing.tree import Routing
from monitoring.policy.definition import MINUTE, Policy, at_least_a_minute
from monitoring.policy.loader import load_valid_policies
from monitoring.signals import CATALOGUE, SIGNALS, Signal
from monitoring.yaml_source import Locate, field_name, invalid, load_yaml
from userdb.errors import ConfigError, PolicyError

Labels = dict[str, str]


def _signal(value: str) -> Signal:
    return CATALOGUE.find(value, None)


Interval = Annotated[Duration, AfterValidator(at_least_a_minute)]
Values = Annotated[tuple[float | None, ...], BeforeValidator(lambda value: expand(text_of(value)))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class InputSeries(_Part):
    """Values, the first for the bucket that ends at the test's start, ``interval`` apart."""

    series: Annotated[Column, BeforeValidator(Column.parse)]
    values: Values


class Gap(_Part):
    """Bucket ends in (from, to] that were not collected, for all signals of the signal's family."""

    signal: Annotated[str, AfterValidator(lambda name: _signal(name).name)]
    begin: Offset = Field(alias="from")
    end: Offset = Field(alias="to")

    @property
    def columns(self) -> set[str]:
        """The columns of all signals of the family."""
        family = SIGNALS[self.signal].family
        return {
            column for one in SIGNALS.values() if one.family == family for column in one.columns
        }


class ExpectedAlert(_Part):
    """An alert with the policy's labels and severity; annotations count only where given."""

    exp_labels: Labels = Field(default_factory=dict)
    exp_annotations: Labels | None = None


class AlertRuleTest(_Part):
    """The alerts of a policy that fire at ``eval_time``, all of them."""

    eval_time: Offset
    alertname: str
    exp_alerts: tuple[ExpectedAlert, ...] = ()


class ExpectedStates(_Part):
    """One character an evaluation of a series, from the test's start on."""

    policy: str
    labels: Labels = Field(default_factory=dict)
    states: Annotated[str, Field(pattern=r"^[.PF?]+$")]


class ExpectedNotification(_Part):
    time: Offset
    policy: str
    labels: Labels = Field(default_factory=dict)
    status: Literal["firing", "resolved"]


class Case(RoutingCase):
    """One test. ``exp_notifications`` are all of all policies, if given."""

    name: str = ""
    interval: Interval | None = Field(
        default=None, description="between values; default: evaluation_interval"
    )
    input_series: tuple[InputSeries, ...] = ()
    gaps: tuple[Gap, ...] = ()
    alert_rule_test: tuple[AlertRuleTest, ...] = ()
    exp_states: tuple[ExpectedStates, ...] = ()
    exp_notifications: tuple[ExpectedNotification, ...] | None = None


class _File(_Part):
    policy_files: tuple[str, ...] = ()
    routing_file: str | None = Field(
        default=None, description="default: everyone is told everything, at once"
    )
    evaluation_interval: Interval | None = Field(
        default=None, description="of all policies; default: each one's own"
    )
    tests: Annotated[tuple[Case, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _something_to_test(self) -> Self:
        if not self.policy_files and self.routing_file is None:
            raise ValueError("names neither policy_files nor a routing_file: nothing to test")
        return self


@dataclass(frozen=True)
class CaseFile:
    """A file of unit tests, with the policies that it tests.

    Attributes:
        every: minutes between evaluations; None: each policy's own interval.
        step: minutes between values where a test doesn't say.
    """

    path: Path
    policies: Mapping[str, Policy]
    every: int | None
    step: int
    cases: tuple[Case, ...]
    locate: Locate
    routing: Routing = field(default_factory=Routing)


def find_case_files(paths: Iterable[Path]) -> list[Path]:
    """The files at ``paths``: of a folder ``*.yaml`` and ``*.yml`` directly in it.

    Raises:
        PolicyError: there is nothing at a path.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            files = sorted(one for one in path.iterdir() if one.suffix in (".yaml", ".yml"))
        else:
            files = [path] if path.is_file() else []
        if not files:
            raise PolicyError(f"{path}: there is no such file, or folder with files of unit tests")
        found += files
    return found


def read_cases(path: Path) -> CaseFile:
    """Read a file of unit tests, and the policies it names, relative to itself.

    Raises:
        PolicyError: the file or a policy is not valid; names file, line and field.
    """
    data, locate = load_yaml(path, PolicyError)
    try:
        read = _File.model_validate(data)
    except ValidationError as error:
        raise invalid(path, locate, error, PolicyError) from None
    files = [path.parent / name for name in read.policy_files]
    for index, file in enumerate(files):
        if not file.is_file():
            where = ("policy_files", index)
            raise PolicyError(
                f"{path}:{locate(where)}: {field_name(where)}: there is no file {file}"
            )
    policies = {policy.name: policy for policy in load_valid_policies(files)}
    routing = Routing() if read.routing_file is None else _routing(path, read.routing_file, locate)
    result = CaseFile(
        path,
        policies,
        None if read.evaluation_interval is None else read.evaluation_interval // MINUTE,
        (read.evaluation_interval or timedelta(minutes=1)) // MINUTE,
        read.tests,
        locate,
        routing,
    )
    _refuse_unknown_policies(result)
    _refuse_series_given_twice(result)
    return result


def _routing(path: Path, name: str, locate: Locate) -> Routing:
    file = path.parent / name
    where = f"{path}:{locate(('routing_file',))}: routing_file"
    if not file.is_file():
        raise PolicyError(f"{where}: there is no file {file}")
    try:
        return load_valid_routing(file)
    except ConfigError as error:
        raise PolicyError(f"{where} is not valid:\n{error}") from None


def _refuse_unknown_policies(file: CaseFile) -> None:
    for index, case in enumerate(file.cases):
        named = [
            *(
                (("alert_rule_test", at, "alertname"), one.alertname)
                for at, one in enumerate(case.alert_rule_test)
            ),
            *((("exp_states", at, "policy"), one.policy) for at, one in enumerate(case.exp_states)),
            *(
                (("exp_notifications", at, "policy"), one.policy)
                for at, one in enumerate(case.exp_notifications or ())
            ),
        ]
        for place, name in named:
            if name not in file.policies:
                where = ("tests", index, *place)
                raise PolicyError(
                    f"{file.path}:{file.locate(where)}: {field_name(where)}: there is no policy "
                    f"{name!r}; there are {', '.join(sorted(file.policies))}"
                )


def _refuse_series_given_twice(file: CaseFile) -> None:
    for index, case in enumerate(file.cases):
        seen: list[Column] = []
        for at, one in enumerate(case.input_series):
            if one.series in seen:
                where = ("tests", index, "input_series", at, "series")
                raise PolicyError(
                    f"{file.path}:{file.locate(where)}: {field_name(where)}: is given twice"
                )
            seen.append(one.series)
