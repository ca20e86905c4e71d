"""JSON whose keys the source describes: which is what, in which unit, and what tells of a timeout.

A key within an object is written with dots, an element of a list by its number; a key that holds
dots itself as a JSON Pointer: ``/http.code``. Where several keys may hold a value, list them.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from include.collectors.request_logs.formats.base import FormatKind, LogFormat, Verdict
from include.collectors.request_logs.formats.json_record import JsonRecord
from include.collectors.request_logs.formats.standard_fields import standard_fields
from include.collectors.request_logs.formats.times import Unit

_STRICT = ConfigDict(extra="forbid", frozen=True)
Key = Annotated[str, Field(min_length=1)]
FieldName = Literal[
    "time",
    "client",
    "method",
    "host",
    "target",
    "request",
    "status",
    "duration",
    "bytes",
    "user",
    "user_agent",
    "request_id",
    "service",
    "route",
    "instance",
]


class OutcomeRule(BaseModel):
    """Requests whose ``field`` is one of ``values`` end as ``outcome``, whatever their status."""

    model_config = _STRICT

    outcome: Literal["ok", "client_error", "auth_failure", "timeout", "server_error"]
    field: Key
    values: list[str] = Field(min_length=1)


class MappedJson(BaseModel):
    """Which key is what. ``target`` is a path, with its query string or without, or a URL.

    ``time_unit`` is of times that are numbers; others are ISO 8601, or the Common Log Format's.
    """

    model_config = _STRICT

    fields: dict[FieldName, Key | list[Key]]
    time_unit: Unit = "s"
    duration_unit: Unit | None = None
    outcomes: list[OutcomeRule] = Field(default_factory=list)

    @model_validator(mode="after")
    def _is_enough(self) -> Self:
        if "time" not in self.fields or "status" not in self.fields:
            raise ValueError("fields must name the keys of time and status")
        if ("duration" in self.fields) != (self.duration_unit is not None):
            raise ValueError(
                "give duration_unit (s, ms, us or ns) where fields has duration, and only there"
            )
        return self


def _build(options: MappedJson) -> LogFormat:
    keys: dict[str, list[str]] = {}
    for name, given in options.fields.items():
        known = {
            "time": f"time_{options.time_unit}",
            "duration": f"duration_{options.duration_unit}",
        }.get(name, name)
        keys[known] = [given] if isinstance(given, str) else given
    for rule in options.outcomes:
        keys[f"says {rule.field}"] = [rule.field]
    record = JsonRecord(keys)
    fields = standard_fields(record)
    return LogFormat(
        name="mapped_json",
        record=record.record,
        values=record.values,
        fields=fields,
        refusal="is not JSON",
        verdicts=tuple(_verdict(record, rule) for rule in options.outcomes),
        status_name=keys["status"][0],
    )


def _verdict(record: JsonRecord, rule: OutcomeRule) -> Verdict:
    value = record.value(f"says {rule.field}")
    values = ", ".join(_quoted(one) for one in rule.values)
    return Verdict(
        rule.outcome, f"{value} IN ({values})", f"{_quoted(rule.field + '=')} || {value}"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


MAPPED_JSON = FormatKind("mapped_json", _build, MappedJson)
