"""Settings of the collector request_logs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from monitoring.duration import Duration
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_STRICT = ConfigDict(extra="forbid", frozen=True)

Name = Annotated[str, Field(min_length=1, max_length=255)]
Prefix = Annotated[str, Field(pattern="^/")]


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"{value!r} is not a time zone; write it as Europe/Berlin") from None
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from None
    return value


class ServiceRule(BaseModel):
    """Requests for ``host`` (a glob, without port) below ``prefix`` belong to service ``name``."""

    model_config = _STRICT

    name: Name
    host: str | None = Field(default=None, min_length=1)
    prefix: Prefix | None = None

    @model_validator(mode="after")
    def _has_condition(self) -> Self:
        if self.host is None and self.prefix is None:
            raise ValueError("give a host, a prefix or both; for all requests, set service.name")
        return self


class ServiceMapping(BaseModel):
    """Which service a request belongs to: by the first rule that matches, else the log's ``field``,
    else ``name``.

    In YAML, plain text stands for ``{name: text}``.
    """

    model_config = _STRICT

    rules: list[ServiceRule] = Field(default_factory=list)
    field: Literal["service", "host", "instance"] | None = None
    name: Name | None = None


class RouteRule(BaseModel):
    """Paths below ``prefix``, or in which ``regex`` (RE2 syntax) is found, are route ``name``.

    The prefix ``/api`` holds /api and /api/x, not /apix.
    """

    model_config = _STRICT

    name: Name
    prefix: Prefix | None = None
    regex: Annotated[str, AfterValidator(_pattern)] | None = None

    @model_validator(mode="after")
    def _has_condition(self) -> Self:
        if (self.prefix is None) == (self.regex is None):
            raise ValueError("give either a prefix or a regex")
        return self


class RouteMapping(BaseModel):
    """Which route a request belongs to.

    The first rule that matches, else the route that the log itself names, else (``table``) the one
    that the route table sent it by at its time, else (``template``) the path with its ids replaced
    by ``{id}``, else none. ``host`` is that of requests whose line names none. Of a minute, the
    ``max_routes`` with the most requests are counted each, and all others as ``{other}``.
    """

    model_config = _STRICT

    rules: list[RouteRule] = Field(default_factory=list)
    table: bool = True
    host: Annotated[str, Field(min_length=1, max_length=253), AfterValidator(str.lower)] | None = (
        None
    )
    template: bool = True
    max_routes: Annotated[int, Field(ge=1, le=100_000)] = 200


class InstanceMapping(BaseModel):
    """With ``registry``, an upstream's address is named as the instance that was registered there
    at the request's time, and its service is the request's where nothing else says one."""

    model_config = _STRICT

    registry: bool = True


def _fixed_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class LogSource(BaseModel):
    """A gateway's log: its files, their format, and how a request gets service and route.

    ``paths`` are files or globs, rotated and gzipped ones included; a file without glob characters
    must exist. ``options`` are those of the format. ``timezone`` is for formats whose times name
    none.
    """

    model_config = _STRICT

    name: Name
    paths: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    format: str
    options: dict[str, Any] = Field(default_factory=dict)
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    service: Annotated[ServiceMapping, BeforeValidator(_fixed_name)] = ServiceMapping()
    route: RouteMapping = RouteMapping()
    instance: InstanceMapping = InstanceMapping()


class RequestLogsSettings(BaseModel):
    """``lateness`` is how far before a window its files are read again.

    ``keep`` says which raw requests are stored: all; exceptional (every outcome but ok, and those
    that took ``slow`` or longer); or none. Whatever it says, of each file and minute the
    ``exemplars`` slowest are stored, and as many of each outcome. Counts per minute are always of
    all requests.
    """

    model_config = _STRICT

    lateness: Duration = timedelta(minutes=10)
    keep: Literal["all", "exceptional", "none"] = "all"
    slow: Duration = timedelta(seconds=10)
    exemplars: Annotated[int, Field(ge=0, le=100)] = 5
    sources: list[LogSource] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the source name {twice[0]!r} is given twice; names must differ")
        return self
